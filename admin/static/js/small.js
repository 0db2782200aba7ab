// Small helps: copy, reveal a password, dismiss a message, show a picked file's name, submit on change.
export function say(text) {
  const host = document.getElementById("toasts");
  if (!host) return;
  const line = document.createElement("div");
  line.className = "toast-line";
  line.textContent = text;
  host.append(line);
  setTimeout(() => line.remove(), 3200);
}

async function copy(button) {
  const source = button.dataset.copy ?? document.getElementById(button.dataset.copyFrom)?.textContent ?? "";
  try {
    await navigator.clipboard.writeText(source.trim());
    say("Copied");
  } catch {
    selectInstead(button);
  }
}

// Without a secure context there is no clipboard: select the text so that one key press copies it.
function selectInstead(button) {
  const text = button.parentElement.querySelector("code");
  if (!text) return;
  const range = document.createRange();
  range.selectNodeContents(text);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  say("Press Ctrl+C to copy");
}

function reveal(button) {
  const input = document.getElementById(button.dataset.reveal);
  const shown = input.type === "text";
  input.type = shown ? "password" : "text";
  button.setAttribute("aria-pressed", String(!shown));
  button.querySelector("[data-off]").toggleAttribute("hidden", !shown);
  button.querySelector("[data-on]").toggleAttribute("hidden", shown);
}

function onClick(event) {
  const button = event.target.closest("[data-copy], [data-copy-from], [data-reveal], [data-dismiss]");
  if (!button) return;
  if ("reveal" in button.dataset) reveal(button);
  else if ("dismiss" in button.dataset) button.closest(".note").remove();
  else copy(button);
}

function onChange({ target }) {
  if (target.matches("[data-submit-on-change]") && !target.form.hasAttribute("hx-get")) target.form.requestSubmit();
  if (target.matches("input[type=file][data-name-to]")) {
    document.getElementById(target.dataset.nameTo).textContent = target.files[0]?.name ?? "No file chosen";
  }
}

export function startSmall() {
  document.addEventListener("click", onClick);
  document.addEventListener("change", onChange);
}
