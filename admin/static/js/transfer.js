// One file over the wire: XHR, because fetch cannot report how much was sent.
const BY_STATUS = {
  0: "The connection was lost. Check your network and try again.",
  401: "Your session has ended. Sign in again, then try again.",
  413: "The file is larger than allowed.",
  415: "This type of file is not allowed in this bucket.",
  507: "There is not enough space left.",
};
const FINAL = new Set([400, 403, 404, 409, 413, 415, 422]);

export function send(url, file, onProgress) {
  const xhr = new XMLHttpRequest();
  const done = new Promise((resolve) => {
    xhr.open("PUT", url);
    xhr.setRequestHeader("X-CSRF-Token", document.querySelector('meta[name="csrf-token"]').content);
    xhr.setRequestHeader("Content-Type", file.type || "application/octet-stream");
    xhr.setRequestHeader("Accept", "application/json, application/problem+json");
    xhr.upload.onprogress = progress(onProgress);
    xhr.onload = () => resolve(answer(xhr));
    xhr.onerror = () => resolve({ problem: BY_STATUS[0], mayRetry: true });
    xhr.onabort = () => resolve({ problem: "Cancelled", mayRetry: true });
    xhr.send(file);
  });
  return { done, abort: () => xhr.abort() };
}

function progress(report) {
  const started = performance.now();
  return ({ loaded }) => {
    const seconds = (performance.now() - started) / 1000;
    report(loaded, seconds > 0.5 ? loaded / seconds : 0);
  };
}

function answer(xhr) {
  const body = parse(xhr.responseText);
  if (xhr.status >= 200 && xhr.status < 300 && body) return { file: body };
  const problem = body?.detail || body?.title || BY_STATUS[xhr.status] || `The upload failed (${xhr.status}).`;
  const waitS = xhr.status === 429 || xhr.status === 503 ? Math.min(60, Number(xhr.getResponseHeader("Retry-After")) || 3) : 0;
  return { problem, waitS, mayRetry: !FINAL.has(xhr.status) };
}

function parse(text) {
  try { return JSON.parse(text); } catch { return null; }
}
