// Curves as SVG, drawn by hand: a page without dependencies has nothing to update and nobody to trust.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const BOX = { width: 360, height: 180, left: 44, right: 10, top: 10, bottom: 22 };

function shape(name, attributes, parent) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.append(node);
  return node;
}

function short(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return (value / 1e6).toFixed(1) + "M";
  if (size >= 1e4) return (value / 1e3).toFixed(0) + "k";
  if (size >= 100 || Number.isInteger(value)) return value.toFixed(0);
  return value.toFixed(size >= 10 ? 1 : 2);
}

function bounds(series) {
  const points = series.flatMap((one) => one.points);
  const ys = points.map((point) => point.y);
  const low = Math.min(0, ...ys);
  let high = Math.max(...ys);
  if (high - low < 1e-9) high = low + 1;
  return { low, high: high + (high - low) * 0.06, last: Math.max(1, ...points.map((point) => point.x)) };
}

// series: [{kind: "train" | "valid", points: [{x, y}]}], at least one point in all.
function drawChart(title, series) {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.append(Object.assign(document.createElement("strong"), { textContent: title }));
  const legend = document.createElement("span");
  for (const one of series) {
    const label = Object.assign(document.createElement("span"), { className: one.kind });
    label.textContent = `${one.kind} ${short(one.points.at(-1).y)} `;
    legend.append(label);
  }
  caption.append(legend);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${BOX.width} ${BOX.height}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${title} by step`);
  const range = bounds(series);
  const x = (value) => BOX.left + (value / range.last) * (BOX.width - BOX.left - BOX.right);
  const y = (value) => BOX.height - BOX.bottom - ((value - range.low) / (range.high - range.low)) * (BOX.height - BOX.top - BOX.bottom);
  for (const part of [0, 0.5, 1]) {
    const value = range.low + part * (range.high - range.low);
    shape("line", { class: "grid", x1: BOX.left, x2: BOX.width - BOX.right, y1: y(value), y2: y(value) }, svg);
    shape("text", { x: BOX.left - 6, y: y(value) + 4, "text-anchor": "end" }, svg).textContent = short(value);
  }
  for (const value of new Set([0, Math.round(range.last / 2), range.last])) {
    shape("text", { x: x(value), y: BOX.height - 6, "text-anchor": "middle" }, svg).textContent = value;
  }
  for (const one of series) {
    const group = shape("g", { class: one.kind }, svg);
    shape("polyline", { class: "curve", points: one.points.map((point) => `${x(point.x)},${y(point.y)}`).join(" ") }, group);
    for (const point of one.points) {
      const dot = shape("circle", { cx: x(point.x), cy: y(point.y), r: 2.5 }, group);
      shape("title", {}, dot).textContent = `${one.kind}, step ${point.x}: ${point.y}`;
    }
  }
  figure.append(caption, svg);
  return figure;
}
