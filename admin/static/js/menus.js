// Menus are <details class="menu">: they open without us; we close them and add the arrow keys.
// Dialogs: [data-open="id"] opens, [data-close] closes the one it stands in, a click on the backdrop closes.
function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!except || !menu.contains(except)) menu.open = false;
  }
}

function moveInMenu(event) {
  const menu = event.target.closest("details.menu[open]");
  if (!menu) return;
  const items = [...menu.querySelectorAll(".menu-item:not([hidden]), .theme-choice button")];
  const at = items.indexOf(document.activeElement);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !items.length) return;
  event.preventDefault();
  items[(at + step + items.length) % items.length].focus();
}

function onKey(event) {
  if (event.key === "Escape") {
    const menu = event.target.closest?.("details.menu[open]");
    closeMenus();
    menu?.querySelector("summary").focus();
  } else moveInMenu(event);
}

function onClick(event) {
  closeMenus(event.target);
  const opener = event.target.closest("[data-open]");
  if (opener) {
    event.preventDefault();
    closeMenus();
    document.getElementById(opener.dataset.open)?.showModal();
  }
  const closer = event.target.closest("[data-close]");
  if (closer) closer.closest("dialog")?.close();
  if (event.target.matches?.("dialog[open]") && outside(event)) event.target.close();
}

function outside({ target, clientX, clientY }) {
  const box = target.getBoundingClientRect();
  return clientX < box.left || clientX > box.right || clientY < box.top || clientY > box.bottom;
}

export function startMenus() {
  document.addEventListener("click", onClick);
  document.addEventListener("keydown", onKey);
  document.addEventListener("focusin", (event) => closeMenus(event.target));
  for (const dialog of document.querySelectorAll("dialog[data-open-now]")) dialog.showModal();
}
