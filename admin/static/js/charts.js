// Charts of what went in and out: <div class="chart" data-chart data-points='[{"at","in","out"}]' data-interval="hour|day"
// data-unit="bytes|number" data-names='["Uploaded","Downloaded"]'>. Drawn by uPlot; the same figures stand in a hidden table.
import { bytes, number, shortBytes } from "./format.js";

const SECONDS = { hour: 3600, day: 86400 };
const drawn = new Map();

function colour(host, value) {
  const probe = document.createElement("span");
  probe.style.color = value;
  host.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function labels(interval) {
  const zone = interval === "day" ? { timeZone: "UTC" } : {};
  const format = (options) => new Intl.DateTimeFormat("en-GB", { ...options, ...zone });
  const day = format({ day: "numeric", month: "short" });
  const hour = format({ hour: "2-digit", minute: "2-digit" });
  const full = format({ weekday: "short", day: "numeric", month: "short" });
  return {
    tick: (at) => (interval === "day" ? day : hour).format(at * 1000),
    full: (at) => (interval === "day" ? full.format(at * 1000)
      : `${full.format(at * 1000)}, ${hour.format(at * 1000)}–${hour.format((at + 3600) * 1000)}`),
  };
}

function tooltip(host, names, label, format) {
  const box = document.createElement("div");
  box.className = "chart-tip";
  box.hidden = true;
  return {
    attach: (plot) => plot.over.append(box),
    move(plot) {
      const { idx, left } = plot.cursor;
      box.hidden = idx == null || left < 0;
      if (box.hidden) return;
      box.replaceChildren(heading(label.full(plot.data[0][idx])), ...names.map((name, i) => line(name, format(plot.data[i + 1][idx]), i)));
      const x = plot.valToPos(plot.data[0][idx], "x");
      const room = plot.over.clientWidth - box.offsetWidth;
      const wanted = x + 14 > room ? x - box.offsetWidth - 14 : x + 14;
      box.style.left = `${Math.max(0, Math.min(room, wanted))}px`;
      box.style.top = "4px";
    },
  };
}

function heading(text) {
  const element = document.createElement("strong");
  element.textContent = text;
  return element;
}

function line(name, value, index) {
  const element = document.createElement("div");
  const dot = document.createElement("span");
  dot.className = `dot ${index ? "out" : "in"}`;
  const figure = document.createElement("b");
  figure.textContent = value;
  element.append(dot, name, figure);
  return element;
}

function axis(host, extra) {
  return {
    stroke: colour(host, "var(--ink-3)"), font: '500 11px "Inter Variable", system-ui, sans-serif',
    grid: { show: false }, ticks: { show: false }, ...extra,
  };
}

function options(host, data, { interval, names, format, short, isEmpty }) {
  const label = labels(interval);
  const tip = tooltip(host, names, label, format);
  const half = SECONDS[interval] / 2;
  const bar = (align) => uPlot.paths.bars({ size: [0.38, 16], align, gap: 1, radius: [0.28, 0] });
  const series = names.map((name, i) => {
    const fill = colour(host, i ? "var(--accent-fill)" : "var(--brand-fill)");
    return { label: name, fill, stroke: fill, width: 0, paths: bar(names.length === 1 ? 0 : i ? 1 : -1), points: { show: false } };
  });
  const grid = { stroke: colour(host, "var(--line)"), width: 1 };
  const width = (plot, values) => Math.max(36, ...(values ?? []).map((text) => text.length * 6.6 + 14));
  return {
    width: host.clientWidth, height: host.clientHeight, padding: [10, 18, 0, 0], legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    scales: {
      x: { time: true, range: (_, min, max) => [min - half, max + half] },
      y: { range: (_, __, max) => [0, max > 0 ? max * 1.06 : 1] },
    },
    axes: [
      axis(host, { values: (_, ticks) => ticks.map(label.tick), space: 64, size: 26, gap: 6,
        splits: (plot, _, min, max) => ticksAt(data[0], Math.max(2, Math.floor(plot.bbox.width / devicePixelRatio / 74))) }),
      axis(host, { values: (_, ticks) => ticks.map((tick) => (isEmpty && tick ? "" : short(tick))), space: 44, size: width, gap: 8, grid }),
    ],
    series: [{}, ...series],
    hooks: { ready: [tip.attach], setCursor: [tip.move] },
  };
}

// Ticks stand exactly under bars: every n-th of them, counted back from the newest.
function ticksAt(times, room) {
  const step = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15].find((n) => times.length / n <= room) ?? times.length;
  return times.filter((_, i) => (times.length - 1 - i) % step === 0);
}

function table(host, data, names, label, format) {
  const element = document.createElement("table");
  element.createCaption().textContent = host.getAttribute("aria-label") ?? "Chart";
  const head = element.createTHead().insertRow();
  for (const name of ["Time", ...names]) head.append(Object.assign(document.createElement("th"), { textContent: name, scope: "col" }));
  const body = element.createTBody();
  data[0].forEach((at, i) => {
    const row = body.insertRow();
    for (const text of [label(at), ...names.map((_, n) => format(data[n + 1][i]))]) row.insertCell().textContent = text;
  });
  const hidden = document.createElement("div"); // a table itself would grow beyond its one pixel
  hidden.className = "visually-hidden";
  hidden.append(element);
  return hidden;
}

function draw(host) {
  drawn.get(host)?.destroy();
  host.replaceChildren();
  const points = JSON.parse(host.dataset.points);
  const names = JSON.parse(host.dataset.names);
  const interval = host.dataset.interval;
  const isBytes = host.dataset.unit !== "number";
  const kit = { interval, names, format: isBytes ? bytes : number, short: isBytes ? shortBytes : number };
  const keys = ["in", "out"].slice(0, names.length);
  const data = [points.map((p) => Date.parse(p.at) / 1000), ...keys.map((key) => points.map((p) => p[key]))];
  kit.isEmpty = data.slice(1).every((values) => values.every((value) => !value));
  const plot = new uPlot(options(host, data, kit), data, host);
  drawn.set(host, plot);
  host.append(table(host, data, names, labels(interval).full, kit.format));
  if (kit.isEmpty) host.append(nothing(host));
}

function nothing(host) {
  const element = document.createElement("p");
  element.className = "chart-none";
  element.textContent = host.dataset.none || "Nothing was transferred in this time";
  return element;
}

const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const plot = drawn.get(target);
    if (plot && plot.width !== target.clientWidth) plot.setSize({ width: target.clientWidth, height: target.clientHeight });
  }
});

export function drawCharts(root = document) {
  if (typeof uPlot === "undefined") return;
  for (const [host, plot] of drawn) if (!host.isConnected) { plot.destroy(); drawn.delete(host); }
  for (const host of root.querySelectorAll("[data-chart]")) {
    if (drawn.has(host)) continue;
    draw(host);
    resized.observe(host);
  }
}

export function startCharts() {
  drawCharts();
  document.addEventListener("theme:changed", () => [...drawn.keys()].forEach(draw));
  document.fonts?.ready.then(() => [...drawn.keys()].forEach(draw));
}
