// One small file in one request: XHR, because fetch cannot report how much was sent. See resumable.js for the large ones.
import { csrf, mayRetry, parse, problemText } from "./problems.js";

function address({ bucket, path }) {
  return `/api/v1/objects/${encodeURIComponent(bucket)}/${path.split("/").map(encodeURIComponent).join("/")}`;
}

// on: {progress(sent), done(file), fail(text, mayRetry), patience(seconds)}
export function send(item, on) {
  const xhr = new XMLHttpRequest();
  xhr.open("PUT", address(item));
  xhr.setRequestHeader("X-CSRF-Token", csrf());
  xhr.setRequestHeader("Content-Type", item.file.type || "application/octet-stream");
  xhr.setRequestHeader("Accept", "application/json, application/problem+json");
  xhr.upload.onprogress = ({ loaded }) => on.progress(loaded);
  xhr.onload = () => settle(xhr, on);
  xhr.onerror = () => on.fail(problemText(0), true);
  xhr.send(item.file);
  return { cancel: () => xhr.abort() };
}

function settle(xhr, on) {
  const file = xhr.status >= 200 && xhr.status < 300 && parse(xhr.responseText);
  if (file) on.done(file);
  else if (xhr.status === 429 || xhr.status === 503) on.patience(Math.min(60, Number(xhr.getResponseHeader("Retry-After")) || 3), problemText(xhr.status, xhr.responseText));
  else on.fail(problemText(xhr.status, xhr.responseText), mayRetry(xhr.status));
}
