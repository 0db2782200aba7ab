// Links to a file that need no sign-in: the dialog #link, whose form says for how long and for how many downloads.
import { call } from "./problems.js";

function tell(dialog, error) {
  const line = dialog.querySelector("[data-link-problem]");
  line.hidden = !error;
  line.querySelector("span").textContent = error;
}

async function make(dialog, form) {
  const body = { expires_in_s: Number(form.elements.expires_in_s.value), single_use: form.elements.single_use.checked, disposition: "attachment" };
  const button = dialog.querySelector("[data-link-make]");
  button.disabled = true;
  tell(dialog, "");
  try {
    const made = await call("POST", `/api/v1/files/${encodeURIComponent(form.dataset.file)}/presign`, body);
    showLink(dialog, made, body.single_use);
  } catch (error) {
    tell(dialog, error.message);
  }
  button.disabled = false;
}

function showLink(dialog, { url, expires_at: end }, once) {
  const until = new Date(end).toLocaleString("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
  dialog.querySelector("#link-url").textContent = url;
  dialog.querySelector("[data-link-until]").textContent = `${once ? "Good for one download, until" : "Good until"} ${until}.`;
  step(dialog, true);
  dialog.querySelector("[data-copy-from]").focus();
}

function step(dialog, isMade) {
  for (const part of dialog.querySelectorAll("[data-link-before]")) part.hidden = isMade;
  for (const part of dialog.querySelectorAll("[data-link-after]")) part.hidden = !isMade;
}

export function startLinks() {
  const dialog = document.getElementById("link");
  if (!dialog) return;
  const form = dialog.querySelector("form");
  form.addEventListener("submit", (event) => { event.preventDefault(); make(dialog, form); });
  dialog.addEventListener("close", () => { step(dialog, false); tell(dialog, ""); dialog.querySelector("#link-url").textContent = ""; });
}
