// A picture of hosts, and of what flows between them: with few containers, each of them; with many, the hosts alone.
import { h, s } from "./dom.js";
import { num, rateText, countText } from "./format.js";

const PILL = 24, GAP = 7, HEAD = 46, PAD = 14, ARC = 54;
const MOST_CONTAINERS = 36, MOST_HOSTS = 24;

const thick = (bits) => (bits > 0 ? 1.2 + Math.min(5, Math.max(0, Math.log10(bits) - 4) * 0.85) : 1);
const cut = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);
const pathOf = (c) => `#/container/${encodeURIComponent(c.network)}/${encodeURIComponent(c.name)}`;

// layout puts boxes into columns as wide as there is room: each on top of the shortest.
function layout(boxes, width, detailed) {
  const columns = Math.max(1, Math.min(boxes.length, Math.floor((width + 60) / (detailed ? 330 : 270))));
  const between = columns > 1 ? 70 : 0;
  if (!detailed) width -= ARC; // arcs are beside the boxes, not in them
  const wide = Math.min(420, (width - between * (columns - 1)) / columns);
  const start = columns > 1 ? (width - columns * wide - between * (columns - 1)) / 2 : 0;
  const heights = new Array(columns).fill(0);
  for (const box of boxes) {
    const i = heights.indexOf(Math.min(...heights));
    Object.assign(box, { x: start + i * (wide + between), y: heights[i] + 1, wide: columns === 1 ? width - 1 : wide, column: i });
    box.high = HEAD + (box.pills.length ? box.pills.length * (PILL + GAP) - GAP + PAD : 4);
    heights[i] += box.high + 18;
    box.pills.forEach((pill, n) => Object.assign(pill, { x: box.x + PAD, y: box.y + HEAD + n * (PILL + GAP), wide: box.wide - PAD - ARC, column: i }));
  }
  return Math.max(60, ...heights) - 14;
}

// curve joins two places: across columns from side to side, within one by an arc at its right.
function curve(a, b, middle) {
  const ya = a.y + middle(a), yb = b.y + middle(b);
  if (a.column === b.column) {
    const x = Math.max(a.x + a.wide, b.x + b.wide), out = Math.min(ARC - 10, 16 + Math.abs(yb - ya) / 5);
    return `M${a.x + a.wide} ${ya}C${x + out} ${ya} ${x + out} ${yb} ${b.x + b.wide} ${yb}`;
  }
  const right = a.column < b.column, xa = right ? a.x + a.wide : a.x, xb = right ? b.x : b.x + b.wide, bend = (xb - xa) / 2;
  return `M${xa} ${ya}C${xa + bend} ${ya} ${xb - bend} ${yb} ${xb} ${yb}`;
}

function edge(f, from, to, middle) {
  const kind = num(f.refused) > 0 && !(f.bits > 0) ? "refused" : f.bits > 0 ? "busy" : "idle";
  const text = `${f.label}: ${kind === "refused" ? `refused ${countText(f.refused)} times` : rateText(f.bits)}`;
  return s("path", { class: `flow ${kind}`, "data-key": "e:" + f.label, d: curve(from, to, middle), "stroke-width": thick(f.bits) }, s("title", {}, text));
}

function head(box) {
  return [
    s("rect", { class: `box ${box.gone ? "gone" : ""}`, x: box.x + 0.5, y: box.y, width: box.wide - 1, height: box.high, rx: 8 }),
    s("text", { class: "name", x: box.x + PAD, y: box.y + 20 }, cut(box.name, Math.floor(box.wide / 10)), box.gone ? " (gone)" : ""),
    s("text", { x: box.x + PAD, y: box.y + 36 }, box.note),
  ];
}

// topology draws a scene: hosts, links between hosts, and, if they are few, containers and flows.
export function topology({ hosts, links, containers, flows, total }, width) {
  const detailed = total <= MOST_CONTAINERS && containers.length >= total;
  const boxes = hosts.slice(0, MOST_HOSTS).map((x) => ({
    name: x.host.name, gone: x.host.state !== "STATE_READY", pills: [],
    note: `${countText(x.containers)} ${num(x.containers) === 1 ? "container" : "containers"} · ${x.rates ? rateText(num(x.rates.txBits)) + " out" : "no rates"}`,
  }));
  const outside = (links || []).some((l) => l.from === "external" || l.to === "external");
  if (outside) boxes.push({ name: "outside the cluster", pills: [], note: "peers that are no containers", outside: true });
  const byName = new Map(boxes.map((b) => [b.outside ? "external" : b.name, b]));
  const places = new Map();
  if (detailed) {
    for (const c of containers) {
      const box = byName.get(c.container.host);
      if (!box || c.container.state !== "STATE_RUNNING") continue;
      const pill = { c };
      box.pills.push(pill);
      places.set(`${c.container.network}/${c.container.name}`, pill);
    }
    for (const f of flows) for (const [name, network] of [[f.from, f.network], [f.to, f.toNetwork]]) {
      if (f.external && !network && byName.has("external") && !places.has("/" + name)) {
        const pill = { peer: name };
        byName.get("external").pills.push(pill);
        places.set("/" + name, pill);
      }
    }
  }
  const room = width, high = layout(boxes, width, detailed);
  const edges = [];
  if (detailed) {
    for (const f of flows) {
      const a = places.get(`${f.network || ""}/${f.from}`), b = places.get(`${f.toNetwork || ""}/${f.to}`);
      if (a && b) edges.push(edge({ ...f, label: `${f.from} to ${f.to}` }, a, b, () => PILL / 2));
    }
  } else {
    for (const l of links || []) {
      const a = byName.get(l.from), b = byName.get(l.to);
      if (a && b && a !== b) edges.push(edge({ bits: l.bits, label: `${l.from} to ${l.to}, ${countText(l.flows)} flows` }, a, b, (p) => p.high / 2));
    }
  }
  const drawn = boxes.map((box) => s("g", { "data-key": "h:" + box.name },
    box.outside ? head(box) : s("a", { href: `#/containers?host=${encodeURIComponent(box.name)}` }, head(box)),
    box.pills.map((p) => pill(p))));
  const said = `${hosts.length} hosts, ${total} running containers, ${flows.length} flows; the lists below tell the same`;
  return h("div", { class: "topology" },
    s("svg", { viewBox: `0 0 ${Math.round(room)} ${Math.round(high)}`, role: "group", "aria-label": said }, drawn, s("g", { "aria-hidden": "true" }, edges)),
    hosts.length > MOST_HOSTS ? h("p", { class: "soft" }, `and ${hosts.length - MOST_HOSTS} hosts more`) : null);
}

function pill(p) {
  const letters = Math.floor((p.wide - 90) / 7.2);
  const frame = s("rect", { class: "pill", x: p.x, y: p.y, width: p.wide, height: PILL, rx: 6 });
  if (p.peer) return s("g", {}, frame, s("text", { class: "pname", x: p.x + 9, y: p.y + 16 }, cut(p.peer, letters + 10)));
  const c = p.c.container, r = p.c.rates || {};
  const bits = Math.max(num(r.txBits), num(r.rxBits));
  return s("a", { href: pathOf(c), "data-key": `c:${c.network}/${c.name}` }, frame,
    s("text", { class: "pname", x: p.x + 9, y: p.y + 16 }, cut(c.name, Math.max(6, letters))),
    s("text", { class: bits > 0 ? "rate" : "", x: p.x + p.wide - 9, y: p.y + 16, "text-anchor": "end" }, bits > 0 ? rateText(bits) : "idle"));
}
