// What the API says when it refuses, in words for people, and calls of it with the console's cookie.
const BY_STATUS = {
  0: "The connection was lost. Check your network and try again.",
  401: "Your session has ended. Sign in again, then try again.",
  404: "It is not there any more. Reload the page.",
  410: "This upload is over. Try again to begin anew.",
  413: "The file is larger than allowed.",
  415: "This type of file is not allowed in this bucket.",
  423: "Another tab or device is sending this file.",
  429: "Too much at once. Try again in a moment.",
  503: "The server is busy. Try again in a moment.",
  507: "There is not enough space left.",
};
const FINAL = new Set([400, 403, 404, 409, 413, 415, 422]);

export function csrf() {
  return document.querySelector('meta[name="csrf-token"]').content;
}

export function parse(text) {
  try { return JSON.parse(text); } catch { return null; }
}

// The `detail` of a problem document; where there is none, words for the status.
export function problemText(status, text = "", what = "The upload") {
  const body = parse(text);
  const said = status === 401 ? "" : body?.detail || body?.title;
  return said || BY_STATUS[status] || `${what} failed (${status}).`;
}

export function mayRetry(status) {
  return !FINAL.has(status);
}

// Sends JSON and returns what was answered; throws an Error whose message is for people.
export async function call(method, url, body) {
  const headers = { Accept: "application/json, application/problem+json", "X-CSRF-Token": csrf() };
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(url, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  } catch {
    throw Object.assign(new Error(BY_STATUS[0]), { status: 0 });
  }
  const text = await response.text();
  if (response.ok) return parse(text);
  throw Object.assign(new Error(problemText(response.status, text, "The request")), { status: response.status });
}
