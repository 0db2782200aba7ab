// The browser's side of the filters in admin/theme.py: the same words for sizes and times.
const UNITS = ["KB", "MB", "GB", "TB", "PB"];

export function bytes(value) {
  if (Math.abs(value) < 1000) return value === 1 ? "1 byte" : `${Math.round(value)} bytes`;
  let unit = -1;
  while (Math.abs(value) >= 999.5 && unit < UNITS.length - 1) { value /= 1000; unit += 1; }
  if (unit < 0) { value /= 1000; unit = 0; }
  return `${Math.abs(value) < 99.95 ? value.toFixed(1).replace(/\.0$/, "") : number(value)} ${UNITS[unit]}`;
}

// For axes: a bare zero.
export function shortBytes(value) {
  return value === 0 ? "0" : bytes(value);
}

export function number(value) {
  return Math.round(value).toLocaleString("en-GB").replace(/ /g, ",");
}

const DATE = { day: "numeric", month: "short", year: "numeric" };
const TIME = { hour: "2-digit", minute: "2-digit" };

export function localTimes(root) {
  for (const element of root.querySelectorAll("time[data-time]")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    element.title = at.toLocaleString("en-GB", { ...DATE, ...TIME, second: "2-digit", timeZoneName: "short" });
    if (element.dataset.time === "datetime") element.textContent = at.toLocaleString("en-GB", { ...DATE, ...TIME });
  }
}
