// Uploads from the file browser. Markup: [data-uploader] with data-bucket, data-prefix, data-max-bytes; inside it an
// input[type=file]; #tray with [data-tray-title], [data-tray-list], [data-tray-live]; <template id="upload-row">.
import { bytes } from "./format.js";
import { droppedFiles, pickedFiles } from "./picked.js";
import { badge, stateOf, watch } from "./status.js";
import { send } from "./transfer.js";

const PARALLEL = 3;
const MAX_TRIES = 4;
const items = [];
let tray;
let place;

function address({ bucket, path }) {
  return `/api/v1/objects/${encodeURIComponent(bucket)}/${path.split("/").map(encodeURIComponent).join("/")}`;
}

function add({ file, path }) {
  const row = document.getElementById("upload-row").content.firstElementChild.cloneNode(true);
  const item = { file, bucket: place.dataset.bucket, path: place.dataset.prefix + path, row, state: "waiting", tries: 0 };
  row.querySelector("[data-up-name]").textContent = path;
  row.querySelector("[data-up-name]").title = item.path;
  row.querySelector("progress").setAttribute("aria-label", `Upload of ${path}`);
  row.querySelector("[data-up-cancel]").addEventListener("click", () => cancel(item));
  row.querySelector("[data-up-retry]").addEventListener("click", () => retry(item));
  items.push(item);
  tray.querySelector("[data-tray-list]").append(row);
  const most = Number(place.dataset.maxBytes || 0);
  if (most && file.size > most) fail(item, `This bucket takes files of up to ${bytes(most)}; this one is ${bytes(file.size)}.`, false);
  else show(item, "waiting", "Waiting");
}

function show(item, state, text) {
  item.state = state;
  const { row } = item;
  row.classList.toggle("is-failed", state === "failed");
  row.querySelector("[data-up-state]").textContent = text;
  row.querySelector("progress").hidden = state !== "sending";
  row.querySelector("[data-up-retry]").hidden = !(state === "cancelled" || (state === "failed" && item.mayRetry));
  row.querySelector("[data-up-cancel]").hidden = !["sending", "waiting"].includes(state);
}

function fail(item, text, mayRetry = true) {
  item.mayRetry = mayRetry;
  show(item, "failed", text);
}

function cancel(item) {
  item.abort?.();
  show(item, "cancelled", "Cancelled");
  next();
}

function retry(item) {
  item.tries = 0;
  show(item, "waiting", "Waiting");
  next();
}

function progress(item, sent, rate) {
  const bar = item.row.querySelector("progress");
  bar.max = item.file.size || 1;
  bar.value = sent;
  const speed = rate ? ` · ${bytes(rate)}/s` : "";
  const text = sent >= item.file.size ? "Finishing" : `${bytes(sent)} of ${bytes(item.file.size)}${speed}`;
  item.row.querySelector("[data-up-state]").textContent = text;
}

async function run(item) {
  item.tries += 1;
  show(item, "sending", `0 bytes of ${bytes(item.file.size)}`);
  const job = send(address(item), item.file, (sent, rate) => progress(item, sent, rate));
  item.abort = job.abort;
  const answer = await job.done;
  if (item.state === "cancelled") return;
  if (answer.file) finished(item, answer.file);
  else if (answer.waitS && item.tries < MAX_TRIES) later(item, answer.waitS);
  else fail(item, answer.problem, answer.mayRetry);
  next();
}

// The server asked for patience (429, 503): try again by ourselves.
function later(item, seconds) {
  show(item, "paused", `Waiting ${seconds} s for the server`);
  setTimeout(() => { if (item.state === "paused") { show(item, "waiting", "Waiting"); next(); } }, seconds * 1000);
}

function finished(item, file) {
  show(item, "done", bytes(file.size_bytes));
  const acts = item.row.querySelector("[data-up-result]");
  acts.replaceChildren(badge(stateOf(file)));
  const link = document.createElement("a");
  link.href = place.dataset.fileUrl.replace("FILE-ID", encodeURIComponent(file.id));
  link.textContent = item.row.querySelector("[data-up-name]").textContent;
  item.row.querySelector("[data-up-name]").replaceChildren(link);
  if (stateOf(file) === "pending") watch(file.id, (checked) => acts.replaceChildren(badge(stateOf(checked))));
}

function next() {
  const running = items.filter((item) => item.state === "sending").length;
  const waiting = items.filter((item) => item.state === "waiting");
  for (const item of waiting.slice(0, Math.max(0, PARALLEL - running))) run(item);
  summarise();
}

function summarise() {
  const open = items.filter((item) => ["sending", "waiting", "paused"].includes(item.state)).length;
  const done = items.filter((item) => item.state === "done").length;
  const failed = items.filter((item) => item.state === "failed").length;
  const files = (count) => `${count} file${count === 1 ? "" : "s"}`;
  const ended = [`${files(done)} uploaded`, failed ? `${failed} failed` : ""].filter(Boolean).join(", ");
  const text = open ? `Uploading ${files(open)}` : ended;
  tray.querySelector("[data-tray-title]").textContent = text;
  tray.querySelector("[data-tray-close]").hidden = open > 0;
  const live = tray.querySelector("[data-tray-live]");
  if (live.textContent !== text) live.textContent = text;
  if (!open && done) document.dispatchEvent(new CustomEvent("uploads:done"));
}

function accept(picked) {
  if (!picked.length) return;
  tray.hidden = false;
  tray.classList.remove("is-folded");
  picked.forEach(add);
  next();
}

function closeTray() {
  items.length = 0;
  tray.querySelector("[data-tray-list]").replaceChildren();
  tray.hidden = true;
}

function startDropping() {
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  const over = (on) => place.classList.toggle("is-over", on);
  let depth = 0;
  addEventListener("dragenter", (event) => { if (carriesFiles(event)) { depth += 1; over(true); } });
  addEventListener("dragleave", (event) => { if (carriesFiles(event) && (depth -= 1) <= 0) { depth = 0; over(false); } });
  addEventListener("dragover", (event) => { if (carriesFiles(event)) event.preventDefault(); });
  addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth = 0;
    over(false);
    accept(await droppedFiles(event.dataTransfer));
  });
}

export function startUploads() {
  place = document.querySelector("[data-uploader]");
  tray = document.getElementById("tray");
  if (!place || !tray) return;
  startDropping();
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-upload-input]")) return;
    accept(pickedFiles(event.target));
    event.target.value = "";
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-upload-button]")) document.querySelector("[data-upload-input]").click();
  });
  tray.querySelector("[data-tray-close]").addEventListener("click", closeTray);
  tray.querySelector("[data-tray-fold]").addEventListener("click", (event) => {
    const folded = tray.classList.toggle("is-folded");
    event.currentTarget.setAttribute("aria-expanded", String(!folded));
  });
  addEventListener("beforeunload", (event) => {
    if (items.some((item) => ["sending", "waiting", "paused"].includes(item.state))) event.preventDefault();
  });
}
