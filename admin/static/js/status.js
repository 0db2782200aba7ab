// Badges of files that are still being checked: [data-poll="file id"] asks GET /api/v1/files/{id} until the verdict is
// there, then takes the finished badge from <template id="badge-…">. What is not known to be clean is never shown clean.
const KNOWN = ["pending", "clean", "quarantined", "rejected", "unscanned"];
const watched = new Map();

export function stateOf(file) {
  if (KNOWN.includes(file.status)) return file.status;
  return file.scan?.verdict === "clean" ? "clean" : "unscanned";
}

export function badge(state) {
  const template = document.getElementById(`badge-${state}`) ?? document.getElementById("badge-unscanned");
  return template.content.firstElementChild.cloneNode(true);
}

export async function getFile(id) {
  const response = await fetch(`/api/v1/files/${encodeURIComponent(id)}`, { headers: { Accept: "application/json" }, cache: "no-store" });
  if (!response.ok) throw Object.assign(new Error("not available"), { status: response.status });
  return response.json();
}

// Calls `settled` once with the file when its verdict is known. Asks often at first, then every ten seconds.
export function watch(id, settled) {
  const waiting = watched.get(id);
  if (waiting) { waiting.push(settled); return; }
  watched.set(id, [settled]);
  ask(id, 900);
}

function ask(id, wait) {
  setTimeout(async () => {
    if (document.hidden) return ask(id, wait);
    const next = Math.min(wait * 1.4, 10000);
    try {
      const file = await getFile(id);
      if (stateOf(file) === "pending") return ask(id, next);
      return settle(id, file);
    } catch (error) {
      return error.status === 404 || error.status === 401 ? watched.delete(id) : ask(id, next);
    }
  }, wait);
}

function settle(id, file) {
  const waiting = watched.get(id) ?? [];
  watched.delete(id);
  for (const settled of waiting) settled(file);
}

function show(id, file) {
  const state = stateOf(file);
  for (const old of document.querySelectorAll(`.pill[data-poll="${CSS.escape(id)}"]`)) old.replaceWith(badge(state));
  if (["clean", "quarantined", "rejected"].includes(state)) {
    for (const link of document.querySelectorAll(`[data-download-of="${CSS.escape(id)}"]`)) link.hidden = state !== "clean";
  }
  document.dispatchEvent(new CustomEvent("file:settled", { detail: { id, state, file } }));
}

const shown = new Set();

export function watchBadges(root = document) {
  for (const element of root.querySelectorAll("[data-poll]")) {
    const id = element.dataset.poll;
    if (shown.has(id)) continue;
    shown.add(id);
    watch(id, (file) => {
      shown.delete(id);
      show(id, file);
    });
  }
}
