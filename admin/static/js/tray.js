// The tray of uploads: one row for each, the sum of all above them. Markup: #tray with [data-tray-title],
// [data-tray-rest], [data-tray-bar], [data-tray-list], [data-tray-live]; <template id="upload-row">.
import { bytes } from "./format.js";
import { badge, stateOf, watch } from "./status.js";

const BUTTONS = { // which of a row's buttons are there in which state
  pause: (item) => item.state === "sending" && item.job?.pause,
  resume: (item) => item.state === "paused",
  retry: (item) => item.state === "cancelled" ? !item.isImport : item.state === "failed" && item.mayRetry,
  cancel: (item) => ["sending", "waiting", "paused", "resting"].includes(item.state),
};
const OVER_S = 5;

export const isOpen = (item) => ["sending", "waiting", "paused", "resting"].includes(item.state);

export function makeRow(item, name, acts) {
  const row = document.getElementById("upload-row").content.firstElementChild.cloneNode(true);
  row.querySelector("[data-up-name]").textContent = name;
  row.querySelector("[data-up-name]").title = item.path;
  row.querySelector("progress").setAttribute("aria-label", `Upload of ${name}`);
  for (const [act, run] of Object.entries(acts)) {
    const button = row.querySelector(`[data-up-${act}]`);
    button.setAttribute("aria-label", `${button.title} ${name}`);
    button.addEventListener("click", () => run(item));
  }
  if (item.isImport) row.querySelectorAll("[data-tile]").forEach((icon) => icon.toggleAttribute("hidden", icon.dataset.tile !== "world"));
  document.querySelector("[data-tray-list]").append(row);
  return row;
}

export function show(item, state, text) {
  item.state = state;
  const { row } = item;
  row.dataset.state = state;
  row.querySelector("[data-up-state]").textContent = text;
  row.querySelector("progress").hidden = !(state === "sending" || (["paused", "resting"].includes(state) && item.sent));
  for (const [name, isThere] of Object.entries(BUTTONS)) row.querySelector(`[data-up-${name}]`).hidden = !isThere(item);
}

export function showProgress(item, sent, total) {
  const bar = item.row.querySelector("progress");
  item.sent = sent;
  item.rate = rateOf(item, sent);
  bar.hidden = false;
  if (total == null) bar.removeAttribute("value");
  else { bar.max = total || 1; bar.value = sent; }
  const amount = total == null ? bytes(sent) : `${bytes(sent)} of ${bytes(total)}`;
  const speed = item.rate ? ` · ${bytes(item.rate)}/s` : "";
  item.row.querySelector("[data-up-state]").textContent = total != null && sent >= total ? "Finishing" : amount + speed;
}

// Bytes a second over the last few seconds; 0 until there is enough to tell.
function rateOf(item, sent) {
  const now = performance.now() / 1000;
  item.marks = (item.marks ?? []).filter((mark) => now - mark.at < OVER_S && mark.sent <= sent);
  item.marks.push({ at: now, sent });
  const [first] = item.marks;
  return now - first.at > 0.5 ? (sent - first.sent) / (now - first.at) : 0;
}

export function showDone(item, file, url) {
  show(item, "done", file ? bytes(file.size_bytes) : "Stored");
  if (!file) return;
  const result = item.row.querySelector("[data-up-result]");
  result.replaceChildren(badge(stateOf(file)));
  const link = document.createElement("a");
  link.href = url;
  const name = item.row.querySelector("[data-up-name]");
  link.textContent = name.textContent;
  name.replaceChildren(link);
  if (stateOf(file) === "pending") watch(file.id, (checked) => result.replaceChildren(badge(stateOf(checked))));
}

const files = (count) => `${count} file${count === 1 ? "" : "s"}`;

function left(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 60) return "less than a minute left";
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `about ${minutes} min left` : `about ${Math.round(minutes / 60)} h left`;
}

function title(items) {
  const count = (state) => items.filter((item) => item.state === state).length;
  const open = items.filter(isOpen).length;
  const under = count("paused") === open ? `${files(open)} paused` : `Uploading ${files(open)}`;
  const failed = count("failed") ? `, ${count("failed")} failed` : "";
  return (open ? under : `${files(count("done"))} uploaded`) + failed;
}

// Shows how it goes in all; returns how many are under way.
export function summarise(items) {
  const tray = document.getElementById("tray");
  const open = items.filter(isOpen);
  const text = title(items);
  tray.querySelector("[data-tray-title]").textContent = text;
  tray.querySelector("[data-tray-close]").hidden = open.length > 0;
  const live = tray.querySelector("[data-tray-live]");
  if (live.textContent !== text) live.textContent = text;
  showSum(tray, items.filter((item) => item.file && (isOpen(item) || item.state === "done")), open);
  return open.length;
}

function showSum(tray, counted, open) {
  const total = counted.reduce((sum, item) => sum + item.file.size, 0);
  const sent = counted.reduce((sum, item) => sum + (item.state === "done" ? item.file.size : item.sent ?? 0), 0);
  const rate = open.reduce((sum, item) => sum + (item.state === "sending" ? item.rate ?? 0 : 0), 0);
  const bar = tray.querySelector("[data-tray-bar]");
  bar.hidden = !open.some((item) => item.file);
  bar.max = total || 1;
  bar.value = sent;
  const percent = total ? `${Math.floor((100 * sent) / total)} %` : "";
  const rest = rate ? left((total - sent) / rate) : "";
  tray.querySelector("[data-tray-rest]").textContent = bar.hidden ? "" : [percent, rest].filter(Boolean).join(" · ");
  const pausable = open.filter((item) => item.state === "sending" && item.job?.pause).length;
  tray.querySelector("[data-tray-pause]").hidden = pausable < 2;
  tray.querySelector("[data-tray-resume]").hidden = open.filter((item) => item.state === "paused").length < 2;
}
