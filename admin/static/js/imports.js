// A file that the server fetches from a web address: the dialog #import, and asking how far it is.
import { call } from "./problems.js";

const POLL_MS = 700;

// What the last part of an address calls a file, for a folder to put before it; empty where it has none.
function nameIn(url) {
  try { return decodeURIComponent(new URL(url).pathname.split("/").pop()); } catch { return ""; }
}

export function fetchByUrl(item, on) {
  const job = { isOver: false, cancel: () => cancel(job) };
  follow(item, on, job);
  return job;
}

async function follow(item, on, job) {
  try {
    const begun = await call("POST", "/api/v1/uploads/from-url", { url: item.url, bucket: item.bucket, ...(item.path && { path: item.path }) });
    job.id = begun.id;
    item.uploadUrl = `/api/v1/uploads/${begun.id}`;
    if (job.isOver) return cancel(job); // while it was begun
    return poll(job, on);
  } catch (error) {
    return job.isOver || on.fail(error.message, ![400, 404, 409, 422].includes(error.status));
  }
}

function poll(job, on) {
  setTimeout(async () => {
    if (job.isOver) return;
    try {
      const upload = await call("GET", `/api/v1/uploads/${job.id}`);
      if (job.isOver) return;
      if (upload.state === "complete") on.done(upload.file);
      else if (upload.state === "failed") on.fail(upload.reason || "The file could not be fetched.", true);
      else { if (upload.offset_bytes) on.progress(upload.offset_bytes, upload.size_bytes); poll(job, on); }
    } catch (error) {
      if ([401, 404].includes(error.status)) on.fail(error.message, true);
      else poll(job, on);
    }
  }, POLL_MS);
}

function cancel(job) {
  job.isOver = true;
  if (job.id) call("DELETE", `/api/v1/uploads/${job.id}`).catch(() => {});
}

export function startImports(place, accept) {
  const dialog = document.getElementById("import");
  const form = dialog.querySelector("form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const url = form.elements.url.value.trim();
    const name = form.elements.name.value.trim() || (place.dataset.prefix ? nameIn(url) || "download" : "");
    accept({ url, path: name && place.dataset.prefix + name });
    form.reset();
    dialog.close();
  });
}
