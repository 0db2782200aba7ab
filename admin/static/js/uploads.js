// Uploads from the file browser: what waits, runs, rests. Markup: [data-uploader] with data-bucket, data-prefix,
// data-max-bytes, data-file-url; inputs [data-upload-input]; the tray (tray.js) and the unfinished ones (unfinished.js).
import { bytes } from "./format.js";
import { fetchByUrl, startImports } from "./imports.js";
import { droppedFiles, pickedFiles } from "./picked.js";
import { RESUMABLE_FROM, forgetOld, sendResumable } from "./resumable.js";
import { send } from "./transfer.js";
import { isOpen, makeRow, show, showDone, showProgress, summarise } from "./tray.js";
import { showUnfinished, startUnfinished } from "./unfinished.js";

const PARALLEL = 3;
const MAX_TRIES = 4;
const ACTS = { cancel, retry, pause, resume };
const items = [];
let tray;
let place;

function add(wanted, name) {
  const item = { bucket: place.dataset.bucket, state: "waiting", tries: 0, sent: 0, ...wanted };
  item.row = makeRow(item, name, ACTS);
  items.push(item);
  const most = Number(place.dataset.maxBytes || 0);
  if (item.file && most && item.file.size > most) fail(item, `This bucket takes files of up to ${bytes(most)}; this one is ${bytes(item.file.size)}.`, false);
  else show(item, "waiting", "Waiting");
}

function fail(item, text, mayRetry = true, isOffline = false) {
  if (item.state === "cancelled") return;
  item.mayRetry = mayRetry;
  item.rate = 0;
  item.job = null;
  if (isOffline) rest(item);
  else show(item, "failed", text);
  next();
}

function cancel(item) {
  show(item, "cancelled", "Cancelled");
  item.job?.cancel();
  item.job = item.uploadUrl = null;
  item.sent = item.rate = 0;
  next();
}

function retry(item) {
  item.tries = 0;
  item.job = null;
  show(item, "waiting", "Waiting");
  next();
}

function pause(item) {
  item.job.pause();
  item.rate = 0;
  show(item, "paused", `Paused at ${bytes(item.sent)} of ${bytes(item.file.size)}`);
  next();
}

function resume(item) {
  show(item, "waiting", "Waiting");
  next();
}

// Without a network: when it is back, everything goes on by itself.
function rest(item) {
  show(item, "resting", "No network. It goes on by itself.");
  addEventListener("online", () => { if (item.state === "resting") resume(item); }, { once: true });
}

// The server asked for patience (429, 503): try again by ourselves.
function wait(item, seconds, text) {
  if (item.tries >= MAX_TRIES) return fail(item, text);
  show(item, "resting", `Waiting ${seconds} s for the server`);
  setTimeout(() => { if (item.state === "resting") resume(item); }, seconds * 1000);
  return next();
}

function progress(item, sent, total) {
  if (item.state !== "sending") return;
  showProgress(item, sent, total);
  summarise(items);
}

function done(item, file) {
  if (item.state === "cancelled") return;
  showDone(item, file, file && place.dataset.fileUrl.replace("FILE-ID", encodeURIComponent(file.id)));
  item.job = null;
  next();
}

function run(item) {
  item.tries += 1;
  show(item, "sending", item.file ? `${bytes(item.sent)} of ${bytes(item.file.size)}` : "Fetching");
  if (item.job?.resume) item.job.resume();
  else item.job = start(item);
  show(item, "sending", item.row.querySelector("[data-up-state]").textContent);
}

function start(item) {
  const on = {
    progress: (sent, total = item.file?.size) => progress(item, sent, total),
    done: (file) => done(item, file),
    fail: (...why) => fail(item, ...why),
    patience: (seconds, text) => wait(item, seconds, text),
    again: () => { if (item.state === "sending") item.row.querySelector("[data-up-state]").textContent = "The connection broke off. Trying again"; },
    begun: (url) => { item.uploadUrl = url; },
  };
  if (item.isImport) return fetchByUrl(item, on);
  return item.uploadUrl || item.file.size > RESUMABLE_FROM ? sendResumable(item, on) : send(item, on);
}

function next() {
  const running = items.filter((item) => item.state === "sending").length;
  const waiting = items.filter((item) => item.state === "waiting");
  for (const item of waiting.slice(0, Math.max(0, PARALLEL - running))) run(item);
  const open = summarise(items);
  if (!open && items.some((item) => item.state === "done")) document.dispatchEvent(new CustomEvent("uploads:done"));
}

function openTray() {
  tray.hidden = false;
  tray.classList.remove("is-folded");
}

function accept(picked) {
  if (!picked.length) return;
  openTray();
  for (const { file, path } of picked) add({ file, path: place.dataset.prefix + path }, path);
  next();
}

function goOnWith({ file, path, uploadUrl }) {
  openTray();
  add({ file, path, uploadUrl }, path);
  next();
}

function acceptUrl({ url, path }) {
  openTray();
  add({ isImport: true, url, path }, path || url);
  next();
}

function closeTray() {
  items.length = 0;
  tray.querySelector("[data-tray-list]").replaceChildren();
  tray.hidden = true;
  showUnfinished();
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

function startPicking() {
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-upload-input], [data-upload-folder]")) return;
    accept(pickedFiles(event.target));
    event.target.value = "";
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-upload-button]");
    if (!button) return;
    document.querySelector(button.dataset.uploadButton === "folder" ? "[data-upload-folder]" : "[data-upload-input]").click();
  });
}

function startTray() {
  tray.querySelector("[data-tray-close]").addEventListener("click", closeTray);
  tray.querySelector("[data-tray-pause]").addEventListener("click", () => items.filter((item) => item.state === "sending" && item.job?.pause).forEach(pause));
  tray.querySelector("[data-tray-resume]").addEventListener("click", () => items.filter((item) => item.state === "paused").forEach(resume));
  tray.querySelector("[data-tray-fold]").addEventListener("click", (event) => {
    const folded = tray.classList.toggle("is-folded");
    event.currentTarget.setAttribute("aria-expanded", String(!folded));
  });
}

export function startUploads() {
  place = document.querySelector("[data-uploader]");
  tray = document.getElementById("tray");
  if (!place || !tray) return;
  forgetOld();
  startDropping();
  startPicking();
  startTray();
  startImports(place, acceptUrl);
  startUnfinished(place, goOnWith, (id) => items.some((item) => isOpen(item) && item.uploadUrl?.endsWith(`/${id}`)));
  addEventListener("beforeunload", (event) => {
    if (items.some((item) => item.file && isOpen(item))) event.preventDefault();
  });
}
