// The switch between light, dark and "as the system": buttons [data-theme-choice="auto|light|dark"].
const system = matchMedia("(prefers-color-scheme: dark)");

function stored() {
  try { return localStorage.getItem("theme") || "auto"; } catch { return "auto"; }
}

function apply(choice) {
  const dark = choice === "dark" || (choice === "auto" && system.matches);
  document.documentElement.setAttribute("data-bs-theme", dark ? "dark" : "light");
  for (const button of document.querySelectorAll("[data-theme-choice]")) {
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
  }
  document.dispatchEvent(new CustomEvent("theme:changed"));
}

export function startTheme() {
  apply(stored());
  system.addEventListener("change", () => apply(stored()));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-choice]");
    if (!button) return;
    try { localStorage.setItem("theme", button.dataset.themeChoice); } catch { /* lasts for this page only */ }
    apply(button.dataset.themeChoice);
  });
}
