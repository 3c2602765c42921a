// Numbers as people read them: three digits that count, and the unit.
import { h } from "./dom.js";

const three = (v) => (v >= 99.95 ? Math.round(v).toString() : v >= 9.995 ? v.toFixed(1) : v.toFixed(2));

function scaled(value, step, units) {
  let i = 0;
  while (value >= step * 0.9995 && i < units.length - 1) { value /= step; i++; }
  return [i === 0 ? Math.round(value).toString() : three(value), units[i]];
}

const BITS = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"];
const BYTES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
const COUNTS = ["", "k", "M", "G", "T"];

export const num = (v) => Number(v || 0);
export const rateText = (bits) => scaled(num(bits), 1000, BITS).join(" ");
export const bytesText = (n) => scaled(num(n), 1024, BYTES).join(" ");
export const countText = (n) => scaled(num(n), 1000, COUNTS).join(" ").trim();

const withUnit = ([value, unit]) => [value, h("span", { class: "unit" }, " " + unit)];
export const rate = (bits) => (num(bits) > 0 ? withUnit(scaled(num(bits), 1000, BITS)) : h("span", { class: "soft" }, "0"));
export const bytes = (n) => withUnit(scaled(num(n), 1024, BYTES));
export const tile = (bits) => { const [v, u] = scaled(num(bits), 1000, BITS); return [v, h("i", {}, " " + u)]; };
export const perSecond = (n) => (num(n) > 0 ? withUnit(scaled(num(n), 1000, ["/s", "k/s", "M/s", "G/s"])) : h("span", { class: "soft" }, "0"));

// count is a whole number with its thousands apart.
export const count = (n) => Math.round(num(n)).toString().replace(/\B(?=(\d{3})+(?!\d))/g, " ");
export const percent = (share) => (share >= 0.995 ? "100" : share > 0 && share < 0.1 ? (100 * share).toFixed(1) : Math.round(100 * share)) + " %";
export const hex = (n) => "0x" + num(n).toString(16).padStart(6, "0");

export function time(ns) {
  if (!num(ns)) return "–";
  const d = new Date(num(ns) / 1e6), two = (n) => String(n).padStart(2, "0");
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

export function ago(ns) {
  if (!num(ns)) return "–";
  const s = Math.max(0, Date.now() / 1000 - num(ns) / 1e9);
  if (s < 90) return Math.round(s) + " s";
  if (s < 5400) return Math.round(s / 60) + " min";
  if (s < 172800) return Math.round(s / 3600) + " h";
  return Math.round(s / 86400) + " d";
}

export const nanoseconds = (ns) => {
  const v = num(ns) / 1e9;
  if (v >= 60) return three(v / 60) + " min";
  if (v >= 1) return three(v) + " s";
  return three(v * 1e3) + " ms";
};

// word is an enumeration's value: "STATE_RUNNING" is "running".
export const word = (value, prefix) => (value || "").replace(prefix, "").toLowerCase().replaceAll("_", " ");
