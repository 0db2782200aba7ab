// Uploads that were begun and are not finished: #unfinished with [data-unfinished-list], <template id="unfinished-row">.
// The bytes of one by tus are with the server; the file must be chosen again, for a page may not open it by itself.
import { bytes } from "./format.js";
import { call } from "./problems.js";
import { isSameFile } from "./resumable.js";
import { say } from "./small.js";

const MOST_PAGES = 5;
const AGAIN_MS = 4000; // while there are any: an import goes on, and what a closed page sent last is told a little later
const WORDS = { import: "Being fetched from a web address", direct: "Sent by an app" };
let place;
let goOn;
let isRunning;
let shown = "";
let timer;

async function open() {
  const found = [];
  let cursor = "";
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const answer = await call("GET", `/api/v1/uploads?limit=100${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    found.push(...answer.items.filter((upload) => upload.state === "open" && upload.bucket === place.dataset.bucket && !isRunning(upload.id)));
    cursor = answer.next_cursor;
    if (!cursor) break;
  }
  return found;
}

function amount(upload) {
  const whole = upload.size_bytes == null ? "" : ` of ${bytes(upload.size_bytes)}`;
  const percent = upload.size_bytes ? ` (${Math.floor((100 * upload.offset_bytes) / upload.size_bytes)} %)` : "";
  return upload.kind === "direct" ? whole.replace(" of ", "") : `${bytes(upload.offset_bytes)}${whole}${percent}`;
}

function row(upload) {
  const made = document.getElementById("unfinished-row").content.firstElementChild.cloneNode(true);
  const name = made.querySelector("[data-un-name]");
  name.textContent = upload.path || "Piece of a file";
  name.title = upload.path;
  made.querySelector("[data-un-state]").textContent = [amount(upload), WORDS[upload.kind]].filter(Boolean).join(" · ");
  const bar = made.querySelector("progress");
  bar.hidden = !upload.size_bytes || upload.kind === "direct";
  bar.max = upload.size_bytes || 1;
  bar.value = upload.offset_bytes;
  bar.setAttribute("aria-label", `Upload of ${upload.path}`);
  const more = made.querySelector("[data-un-continue]");
  more.hidden = upload.kind !== "tus" || upload.size_bytes == null || !upload.path;
  more.addEventListener("click", () => choose(upload));
  made.querySelector("[data-un-cancel]").addEventListener("click", (event) => end(upload, event.currentTarget));
  return made;
}

export async function showUnfinished() {
  const section = document.getElementById("unfinished");
  if (!section) return;
  let found = [];
  try { found = await open(); } catch { return; } // it is a help, not what the page is for
  clearTimeout(timer);
  if (found.length) timer = setTimeout(() => { if (!document.hidden) showUnfinished(); }, AGAIN_MS);
  if (shown === JSON.stringify(found)) return;
  if (shown.length > 2 && found.length < JSON.parse(shown).length) document.dispatchEvent(new CustomEvent("unfinished:fewer"));
  shown = JSON.stringify(found);
  section.querySelector("[data-unfinished-list]").replaceChildren(...found.map(row));
  section.hidden = !found.length;
}

function choose(upload) {
  const input = document.querySelector("[data-unfinished-input]");
  input.onchange = () => {
    const [file] = input.files;
    input.value = "";
    if (file) take(upload, file);
  };
  input.click();
}

function take(upload, file) {
  if (file.size !== upload.size_bytes) return say(`That is another file: it has ${bytes(file.size)}, the upload ${bytes(upload.size_bytes)}.`);
  if (!isSameFile({ file, bucket: upload.bucket, path: upload.path }, upload.id)) return say("That is another file, or it was changed since the upload began.");
  goOn({ file, path: upload.path, uploadUrl: `/api/v1/tus/${upload.id}` });
  return showUnfinished();
}

async function end(upload, button) {
  button.disabled = true;
  try {
    await call("DELETE", `/api/v1/uploads/${upload.id}`);
  } catch (error) {
    say(error.message);
  }
  showUnfinished();
}

export function startUnfinished(uploader, goOnWith, running) {
  place = uploader;
  goOn = goOnWith;
  isRunning = running;
  showUnfinished();
  document.addEventListener("uploads:done", showUnfinished);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) showUnfinished(); });
}
