// The one script that pages load; htmx and uPlot are loaded before it where a page needs them.
import { startAsking } from "./js/ask.js";
import { startBrandPreview } from "./js/brand-preview.js";
import { drawCharts, startCharts } from "./js/charts.js";
import { localTimes } from "./js/format.js";
import { startLinks } from "./js/links.js";
import { refreshListing, startLive } from "./js/live.js";
import { startMenus } from "./js/menus.js";
import { showSelection, startSelection } from "./js/selection.js";
import { startSmall } from "./js/small.js";
import { watchBadges } from "./js/status.js";
import { startTheme } from "./js/theme.js";
import { startUploads } from "./js/uploads.js";

startTheme();
startMenus();
startAsking();
startSmall();
startUploads();
startSelection();
startLinks();
startBrandPreview();
startCharts();
localTimes(document);
watchBadges();
startLive(() => {
  drawCharts();
  localTimes(document);
  watchBadges();
  showSelection();
});
for (const change of ["uploads:done", "unfinished:fewer"]) document.addEventListener(change, refreshListing);
document.addEventListener("file:settled", () => {
  if (document.querySelector("[data-reload-when-settled]")) location.reload();
});
