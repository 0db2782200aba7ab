// Questions before something is done. A form with data-ask="question" is held back until the shared dialog is
// confirmed; data-ask-more explains, data-ask-yes names the button, data-ask-tone="danger" colours it.
// An input with data-must-equal="text" keeps its form's [data-when-equal] button off until the text is typed.
const confirmed = new WeakSet();

function hold(event) {
  const form = event.target;
  if (!form.matches("form[data-ask]") || confirmed.has(form)) return;
  event.preventDefault();
  event.stopPropagation();
  const dialog = document.getElementById("ask");
  dialog.querySelector("[data-ask-title]").textContent = form.dataset.ask;
  dialog.querySelector("[data-ask-text]").textContent = form.dataset.askMore || "";
  const yes = dialog.querySelector("[data-ask-confirm]");
  yes.textContent = form.dataset.askYes || "Continue";
  yes.className = form.dataset.askTone === "danger" ? "btn danger-fill" : "btn primary";
  yes.onclick = () => {
    dialog.close();
    confirmed.add(form);
    form.requestSubmit();
    confirmed.delete(form);
  };
  dialog.showModal();
}

function compare(event) {
  const input = event.target;
  if (!input.matches?.("[data-must-equal]")) return;
  const button = input.form.querySelector("[data-when-equal]");
  button.disabled = input.value.trim() !== input.dataset.mustEqual;
}

export function startAsking() {
  document.addEventListener("submit", hold, true);
  document.addEventListener("input", compare);
  for (const input of document.querySelectorAll("[data-must-equal]")) {
    input.form.querySelector("[data-when-equal]").disabled = input.value.trim() !== input.dataset.mustEqual;
  }
}
