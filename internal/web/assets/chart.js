// Charts of rates over time, as SVG. Their points come from the orchestrator: one every step, the oldest first.
import { h, s } from "./dom.js";
import { rateText, num } from "./format.js";

const WIDE = 600, HIGH = 150, TOP = 8, BOTTOM = 18;

// ceiling is a round number at or above the highest point.
export function ceiling(max) {
  if (!(max > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(max));
  for (const n of [1, 2, 5, 10]) if (max <= n * unit) return n * unit;
  return max;
}

function path(points, wide, high, top, most) {
  const last = Math.max(points.length - 1, 1);
  return points.map((v, i) => `${i ? "L" : "M"}${(i * wide / last).toFixed(1)} ${(top + (high - top) * (1 - Math.min(1, v / most))).toFixed(1)}`).join("");
}

const area = (line, wide, high) => (line ? `${line}L${wide} ${high}L0 ${high}Z` : "");

// chart draws both directions of a history, with an axis in round numbers.
export function chart(history, label) {
  const tx = (history?.txBits || []).map(num), rx = (history?.rxBits || []).map(num);
  const most = ceiling(Math.max(0, ...tx, ...rx));
  const base = HIGH - BOTTOM;
  const seconds = Math.round(Math.max(tx.length, rx.length) * num(history?.stepMs) / 1000);
  const lines = [];
  for (const [points, name] of [[rx, "rx"], [tx, "tx"]]) {
    if (!points.length) continue;
    const line = path(points, WIDE, base, TOP, most);
    lines.push(s("path", { class: "a-" + name, d: area(line, WIDE, base) }), s("path", { class: "line s-" + name, d: line }));
  }
  const now = (list) => rateText(list.length ? list[list.length - 1] : 0);
  return h("div", { class: "chart" },
    s("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": `${label}: sending ${now(tx)}, receiving ${now(rx)}; highest ${rateText(Math.max(0, ...tx, ...rx))}` },
      [0, 0.5, 1].map((part) => s("line", { class: "axis", x1: 0, x2: WIDE, y1: base - (base - TOP) * part, y2: base - (base - TOP) * part })), lines),
    h("div", { class: "legend" }, h("span", { class: "key tx" }, "sent"), h("span", { class: "key rx" }, "received"),
      h("span", {}, "top line ", h("b", {}, most > 1 ? rateText(most) : "0")), h("span", {}, seconds ? `last ${seconds} s` : "no history yet")));
}

// spark is a small chart for a row of a table.
export function spark(history, label) {
  const tx = (history?.txBits || []).map(num).slice(-60), rx = (history?.rxBits || []).map(num).slice(-60);
  const most = Math.max(1, ...tx, ...rx);
  const lines = [[rx, "rx"], [tx, "tx"]].filter(([points]) => points.some((v) => v > 0)).map(([points, name]) => {
    const line = path(points, 120, 23, 2, most);
    return [s("path", { class: "a-" + name, d: area(line, 120, 23) }), s("path", { class: "line s-" + name, d: line })];
  });
  return s("svg", { viewBox: "0 0 120 24", preserveAspectRatio: "none", role: "img", "aria-label": `${label}: highest ${rateText(most > 1 ? most : 0)} of the last two minutes` },
    s("line", { class: "axis", x1: 0, x2: 120, y1: 23, y2: 23 }), lines);
}

// meter shows how much of a quota is used.
export function meter(used, most) {
  const share = most > 0 ? Math.min(1, used / most) : 1;
  return h("span", { class: "meter" }, s("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", role: "img", "aria-label": `${Math.round(100 * share)} % of the quota` },
    s("rect", { width: 100 * share, height: 6, class: share >= 1 ? "m-bad" : share > 0.8 ? "m-warn" : "m-ok" })));
}
