// The branding form's live preview: [data-brand-form] with fields name, primary, accent, logo; [data-preview] beside it.
import { say } from "./small.js";

const HEX = /^#[0-9a-f]{6}$/i;
const MAX_LOGO_BYTES = 512 * 1024; // the server refuses larger ones, and forms beyond a mebibyte before reading them

// The same choice as ink_for in tenants/branding.py.
function inkFor(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.0573 ? "#ffffff" : "#10151f";
}

function paint(form, preview) {
  const primary = form.elements.primary.value;
  const accent = form.elements.accent.value;
  if (HEX.test(primary)) {
    preview.style.setProperty("--p-brand", primary);
    preview.style.setProperty("--p-ink", inkFor(primary));
  }
  if (HEX.test(accent)) preview.style.setProperty("--p-accent", accent);
  const name = form.elements.name.value.trim();
  preview.querySelector("[data-preview-name]").textContent = name || "Your name";
  preview.querySelector("[data-preview-letter]").textContent = (name[0] || "?").toUpperCase();
}

function pair(form, field) {
  const picker = form.querySelector(`[data-picker-for="${field}"]`);
  const text = form.elements[field];
  picker.addEventListener("input", () => { text.value = picker.value; });
  text.addEventListener("input", () => { if (HEX.test(text.value)) picker.value = text.value; });
}

function showLogo(form, preview) {
  if (form.elements.logo.files[0]?.size > MAX_LOGO_BYTES) {
    form.elements.logo.value = "";
    say("This picture is larger than 512 KB.");
  }
  const image = preview.querySelector("[data-preview-logo]");
  const file = form.elements.logo.files[0];
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  const gone = form.elements.remove_logo?.checked;
  const source = file ? URL.createObjectURL(file) : gone ? "" : image.dataset.kept || "";
  image.hidden = !source;
  preview.querySelector("[data-preview-letter]").hidden = Boolean(source);
  if (source) image.src = source;
}

export function startBrandPreview() {
  const form = document.querySelector("[data-brand-form]");
  if (!form) return;
  const preview = document.querySelector("[data-preview]");
  pair(form, "primary");
  pair(form, "accent");
  form.addEventListener("input", () => paint(form, preview));
  form.addEventListener("change", () => showLogo(form, preview));
  paint(form, preview);
}
