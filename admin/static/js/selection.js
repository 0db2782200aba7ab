// Files that are chosen in the listing, to be had as one ZIP: [data-select] boxes in #selection's form, [data-select-all].
function boxes() {
  return [...document.querySelectorAll("[data-select]")];
}

export function showSelection() {
  const bar = document.getElementById("selection-bar");
  if (!bar) return;
  const all = boxes();
  const chosen = all.filter((box) => box.checked);
  bar.hidden = !chosen.length;
  bar.querySelector("[data-select-count]").textContent = `${chosen.length} file${chosen.length === 1 ? "" : "s"} selected`;
  const every = document.querySelector("[data-select-all]");
  if (!every) return;
  every.checked = all.length > 0 && chosen.length === all.length;
  every.indeterminate = chosen.length > 0 && chosen.length < all.length;
}

function choose(on) {
  for (const box of boxes()) box.checked = on;
  showSelection();
}

export function startSelection() {
  document.addEventListener("change", ({ target }) => {
    if (target.matches("[data-select-all]")) choose(target.checked);
    else if (target.matches("[data-select]")) showSelection();
  });
  document.addEventListener("click", (event) => { if (event.target.closest("[data-select-none]")) choose(false); });
  showSelection();
}
