// Runs before anything is painted: light or dark as the person chose, otherwise as the system is set.
(function () {
  var choice = null;
  try { choice = localStorage.getItem("theme"); } catch (_) { /* storage may be off */ }
  var dark = choice === "dark" || (choice !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-bs-theme", dark ? "dark" : "light");
})();
