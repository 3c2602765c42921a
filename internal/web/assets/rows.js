// Tables that several views have, and what goes with them: empty states, search, pages.
import { h } from "./dom.js";
import { spark } from "./chart.js";
import { num, rate, bytes, count, perSecond, percent, ago, word } from "./format.js";

export const containerPath = (network, name) => `#/container/${encodeURIComponent(network)}/${encodeURIComponent(name)}`;
export const empty = (text, command) => h("div", { class: "empty" }, h("div", {}, text), command ? h("code", {}, command) : null);

// table makes one: columns are {head, class, cell}, and sort if it can be sorted by that.
export function table(label, columns, rows, { key, sort } = {}) {
  return h("div", { class: "scroll", role: "region", "aria-label": label, tabindex: "0" }, h("table", {},
    h("caption", { class: "hidden" }, label),
    h("thead", {}, h("tr", {}, columns.map((c) => h("th", { scope: "col", class: c.class, "aria-sort": c.sort && c.sort === sort ? (c.up ? "ascending" : "descending") : null },
      c.sort ? h("button", { type: "button", "data-sort": c.sort }, c.head) : c.head || h("span", { class: "hidden" }, c.name))))),
    h("tbody", {}, rows.map((row) => h("tr", { "data-key": key ? key(row) : null }, columns.map((c) => h("td", { class: c.class }, c.cell(row))))))));
}

export function state(c) {
  const text = word(c.state, "STATE_");
  return h("span", { class: "tag " + (text === "running" || text === "ready" ? "good" : text === "gone" ? "bad" : "") }, text || "unknown");
}

// doing is what policies do to a container, as tags.
export function doing(c) {
  const tags = [], limited = num(c.rates?.limited);
  if (limited > 0) tags.push(h("span", { class: "tag warn" }, "limited " + percent(limited)));
  if (num(c.deniedRecently)) tags.push(h("span", { class: "tag bad" }, `over quota ${count(c.deniedRecently)}`));
  if (num(c.refusedRecently)) tags.push(h("span", { class: "tag bad" }, `refused ${count(c.refusedRecently)}`));
  if (c.class && c.class !== "normal") tags.push(h("span", { class: "tag" }, "class " + c.class));
  if (c.limit) tags.push(h("span", { class: "tag" }, c.limit));
  return h("div", { class: "tags" }, tags);
}

// both is the rate of sending, and on a phone, where there is no column for it, that of receiving below it.
const both = (r) => [h("span", { class: "tx" }, rate(r?.txBits)), h("span", { class: "sub narrow" }, h("span", { class: "hidden" }, "receives "), h("span", { class: "rx" }, rate(r?.rxBits)))];

export const containerTable = (list, sort) => table("Containers", [
  { head: "Container", sort: "name", up: true, cell: (c) => [h("a", { href: containerPath(c.container.network, c.container.name) }, c.container.name), h("span", { class: "sub" }, c.container.ip || "")] },
  { head: "State", class: "mid", cell: (c) => state(c.container) },
  { head: "Network", class: "wide", cell: (c) => [c.container.network, c.tenant ? h("span", { class: "sub" }, c.tenant) : null] },
  { head: "Host", class: "mid", sort: "host", up: true, cell: (c) => c.container.host || "–" },
  { head: "Sends", class: "num", sort: "rate", cell: (c) => both(c.rates) },
  { head: "Receives", class: "num mid", cell: (c) => h("span", { class: "rx" }, rate(c.rates?.rxBits)) },
  { name: "Last two minutes", class: "spark", cell: (c) => spark(c.history, c.container.name) },
  { head: "QPs", class: "num wide", cell: (c) => (c.objects ? count(c.objects.qps) : "–") },
  { head: "Policies", class: "mid", cell: doing },
], list, { key: (c) => `${c.container.network}/${c.container.name}`, sort });

const end = (network, name, host, external) => [
  network ? h("a", { href: containerPath(network, name) }, name) : h("span", {}, name),
  h("span", { class: "sub" }, external && !network ? "outside" : host || "")];

export const flowTable = (list, sort) => table("Flows", [
  { head: "From", sort: "name", up: true, cell: (f) => end(f.network, f.from, f.fromHost, f.external) },
  { head: "To", cell: (f) => end(f.toNetwork, f.to, f.toHost, f.external) },
  { head: "Rate", class: "num", sort: "rate", cell: (f) => [h("span", { class: "tx" }, rate(f.bits)), num(f.refused) ? h("span", { class: "sub" }, h("span", { class: "tag bad" }, `refused ${count(f.refused)}`)) : null] },
  { name: "Last two minutes", class: "spark", cell: (f) => spark(f.history, `${f.from} to ${f.to}`) },
  { head: "Messages", class: "num mid", cell: (f) => perSecond(f.messages) },
  { head: "Sent in all", class: "num mid", cell: (f) => bytes(f.bytes) },
  { head: "QPs", class: "num wide", cell: (f) => count(f.qps) },
], list, { key: (f) => `${f.network}/${f.from}>${f.toNetwork}/${f.to}`, sort });

export const hostTable = (list) => table("Hosts", [
  { head: "Host", cell: (x) => [h("a", { href: `#/containers?host=${encodeURIComponent(x.host.name)}` }, x.host.name), h("span", { class: "sub" }, x.host.underlay || "")] },
  { head: "State", cell: (x) => [state(x.host), x.host.state === "STATE_READY" && !x.rates ? h("span", { class: "sub" }, "reports no usage") : null] },
  { head: "Containers", class: "num", cell: (x) => count(x.containers) },
  { head: "Sends", class: "num", cell: (x) => both(x.rates) },
  { head: "Receives", class: "num mid", cell: (x) => h("span", { class: "rx" }, rate(x.rates?.rxBits)) },
  { name: "Last two minutes", class: "spark mid", cell: (x) => spark(x.history, x.host.name) },
  { head: "Version", class: "wide", cell: (x) => x.host.version || "–" },
  { head: "Heard of", class: "num wide", cell: (x) => (num(x.reported) ? ago(x.reported) + " ago" : "–") },
], list, { key: (x) => x.host.name });

// search is an input whose words are told a moment after the last key.
export function search(label, value, tell) {
  const input = h("input", { type: "search", "aria-label": label, placeholder: label, autocomplete: "off", spellcheck: "false", value });
  let timer;
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => tell(input.value.trim()), 200); });
  return h("div", { class: "grow" }, input);
}

export function choice(label, options, value, tell) {
  const select = h("select", { "aria-label": label }, options.map(([v, text]) => h("option", { value: v, selected: v === value }, text)));
  select.addEventListener("change", () => tell(select.value));
  return select;
}

// pager shows which part of a list is shown, and goes on. move is told by how many pages.
export function pager(move) {
  const back = h("button", { type: "button", class: "plain" }, "Previous"), on = h("button", { type: "button", class: "plain" }, "Next");
  const text = h("span", { "aria-live": "polite" });
  back.addEventListener("click", () => move(-1));
  on.addEventListener("click", () => move(1));
  const node = h("div", { class: "pager" }, text, back, on);
  node.tell = (offset, shown, total) => {
    text.textContent = total ? `${count(offset + 1)}–${count(offset + shown)} of ${count(total)}` : "";
    back.disabled = offset <= 0;
    on.disabled = offset + shown >= total;
    node.hidden = total === 0;
  };
  return node;
}
