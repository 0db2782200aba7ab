// What htmx needs from us: the CSRF header, patience with open menus, and an honest word when something failed.
import { say } from "./small.js";

function beforeRequest(event) {
  const { ctx } = event.detail;
  if (!ctx.sourceElement.matches("[data-live]")) return;
  const busy = document.querySelector("details.menu[open], dialog[open]") || ctx.sourceElement.contains(document.activeElement);
  if (document.hidden || busy) event.preventDefault();
}

function beforeResponse(event) {
  const { ctx } = event.detail;
  const { raw, status } = ctx.response;
  if (raw.redirected && new URL(raw.url).pathname.endsWith("/login")) {
    event.preventDefault();
    location.reload();
  } else if (status >= 400) {
    event.preventDefault();
    if (!ctx.sourceElement.matches("[data-live]")) say("That did not work. Reload the page and try again.");
  }
}

// The answer is a whole page with its own nonce; parsed inside this one its style block would break our policy.
function afterRequest({ detail: { ctx } }) {
  ctx.text = ctx.text.replace(/<style\b[^>]*>[^<]*<\/style>/gi, "");
}

export function refreshListing() {
  if (!document.getElementById("listing")) return;
  htmx.ajax("GET", location.pathname + location.search, { target: "#listing", select: "#listing", swap: "outerHTML" });
}

export function startLive(afterSwap) {
  document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => {
    ctx.request.headers["X-CSRF-Token"] = document.querySelector('meta[name="csrf-token"]').content;
  });
  document.addEventListener("htmx:before:request", beforeRequest);
  document.addEventListener("htmx:before:response", beforeResponse);
  document.addEventListener("htmx:after:request", afterRequest);
  document.addEventListener("htmx:error", () => say("The server could not be reached."));
  document.addEventListener("htmx:after:swap", () => afterSwap());
}
