// One large file by tus (docs/guides/tus.md): pausable, tried again by itself, gone on with after a reload. The global
// `tus` comes from vendor/tus-js-client. What it needs to find an upload again lies in localStorage under `tus::`.
import { csrf, mayRetry, problemText } from "./problems.js";
import { getFile } from "./status.js";

const ENDPOINT = "/api/v1/tus";
const CHUNK = 64 * 1024 * 1024; // below what proxies in front commonly let through in one request
const DELAYS_MS = [0, 1000, 3000, 5000, 10000, 20000, 30000];
const GONE = [404, 410];
const PASSING = [409, 423, 429, 460];
const KEPT_MS = 7 * 86400_000;

export const RESUMABLE_FROM = 8 * 1024 * 1024;

// The same file for the same place: what is chosen again goes on from its offset.
function fingerprint({ file, bucket, path }) {
  return ["strongroom", bucket, path, file.size, file.lastModified].map(encodeURIComponent).join("|");
}

function remembered() {
  return Object.keys(localStorage).filter((key) => key.startsWith("tus::")).map((key) => {
    try { return { key, ...JSON.parse(localStorage.getItem(key)) }; } catch { return { key }; }
  });
}

// Whether the file can be the one that an upload began with, as far as this browser remembers it.
export function isSameFile(item, uploadId) {
  const known = remembered().find((each) => each.uploadUrl?.endsWith(`/${uploadId}`));
  return !known || known.key.startsWith(`tus::${fingerprint(item)}::`);
}

export function forgetOld() {
  for (const { key, creationTime } of remembered()) {
    if (!(Date.now() - new Date(creationTime) < KEPT_MS)) localStorage.removeItem(key);
  }
}

function statusOf(error) {
  return error.causingError?.refused ?? error.originalResponse?.getStatus() ?? 0;
}

function shouldRetry(error) {
  const status = statusOf(error);
  if (!status) return navigator.onLine; // without a network it is not tried, but waited for: see `fail`
  return PASSING.includes(status) || (status >= 500 && status !== 507);
}

// Asked for the offset, tus-js-client takes every answer but 200 and 423 for "gone" and would begin anew.
function keepWhatIsThere(request, response) {
  const status = response.getStatus();
  if (request.getMethod() === "HEAD" && (status < 200 || status > 299) && status !== 423 && !GONE.includes(status)) {
    throw Object.assign(new Error("not now"), { refused: status });
  }
}

// on: {progress(sent), begun(address), done(file), fail(text, mayRetry), again()}
export function sendResumable(item, on) {
  const upload = new tus.Upload(item.file, {
    endpoint: ENDPOINT, chunkSize: CHUNK, retryDelays: DELAYS_MS, uploadUrl: item.uploadUrl,
    headers: { "X-CSRF-Token": csrf(), Accept: "application/json, application/problem+json" },
    metadata: { bucket: item.bucket, path: item.path, filetype: item.file.type || "application/octet-stream" },
    fingerprint: async () => fingerprint(item), removeFingerprintOnSuccess: true,
    onAfterResponse: keepWhatIsThere,
    onShouldRetry: (error) => { const again = shouldRetry(error); if (again) on.again(); return again; },
    onUploadUrlAvailable: () => on.begun(upload.url),
    onProgress: (sent) => on.progress(sent),
    onError: (error) => fail(error, on),
    onSuccess: ({ lastResponse }) => finish(lastResponse, on),
  });
  begin(upload, item);
  return {
    pause: () => upload.abort(),
    resume: () => upload.start(),
    cancel: () => upload.abort(true).catch(() => {}), // the server ends it by itself when it expires
  };
}

async function begin(upload, item) {
  const [previous] = item.uploadUrl ? [] : await upload.findPreviousUploads();
  if (previous) upload.resumeFromPreviousUpload(previous);
  if (item.state === "sending") upload.start();
}

function fail(error, on) {
  const status = statusOf(error);
  on.fail(problemText(status, error.originalResponse?.getBody() ?? ""), mayRetry(status), !status && !navigator.onLine);
}

async function finish(response, on) {
  const id = response.getHeader("Strongroom-File-Id");
  try {
    on.done(await getFile(id));
  } catch {
    on.done(null); // it is stored all the same; the listing shows it
  }
}
