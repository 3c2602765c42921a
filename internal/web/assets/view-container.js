// One container: what it does, what it has, and what holds for it.
import { h, show } from "./dom.js";
import { call, repeat } from "./api.js";
import { chart, meter } from "./chart.js";
import { table, flowTable, empty, state, doing } from "./rows.js";
import { num, count, bytes, tile, time, ago, hex, nanoseconds, percent } from "./format.js";

const RESOURCES = {
  contexts: "Contexts", pds: "Protection domains", cqs: "Completion queues", mrs: "Memory regions", mrBytes: "Registered memory", qps: "Queue pairs", srqs: "Shared receive queues",
  ahs: "Address handles", mws: "Memory windows", multicast: "Multicast groups", cmIds: "CM identifiers", cqDepth: "CQ depth", qpDepth: "QP depth",
};

const value = (resource, n) => (resource === "mrBytes" ? bytes(n) : count(n));

function objects(c) {
  const names = Object.keys({ ...c.objects, ...c.quota }).sort((a, b) => Object.keys(RESOURCES).indexOf(a) - Object.keys(RESOURCES).indexOf(b));
  const denied = c.counters?.denied || {};
  if (!names.length) return empty("Its router has told nothing of its objects yet.");
  return table("Objects", [
    { head: "Object", cell: (r) => RESOURCES[r] || r },
    { head: "Now", class: "num", cell: (r) => (c.objects?.[r] === undefined ? "–" : value(r, c.objects[r])) },
    { head: "Quota", class: "num", cell: (r) => (c.quota?.[r] === undefined ? h("span", { class: "soft" }, "none") : value(r, c.quota[r])) },
    { name: "Share of the quota", cell: (r) => (c.quota?.[r] === undefined || c.objects?.[r] === undefined ? null : meter(num(c.objects[r]), num(c.quota[r]))) },
    { head: "Denied", class: "num", cell: (r) => (num(denied[r]) ? h("span", { class: "tag bad" }, count(denied[r])) : "0") },
  ], names, { key: (r) => r });
}

const LINES = [
  ["rnrWaits", "Receiver not ready"], ["retransmits", "Packets sent again"], ["timeouts", "Timeouts"], ["sequenceErrors", "Out of sequence"], ["duplicates", "Duplicates"],
  ["cnpsSent", "Congestion notices sent"], ["cnpsReceived", "Congestion notices received"], ["txPackets", "Packets sent"], ["rxPackets", "Packets received"], ["refused", "Refused by policy"],
];

function counted(c) {
  const k = c.counters || {}, rows = [];
  for (const [group, text] of [["operations", "operation"], ["errors", "error"], ["drops", "dropped"]]) {
    for (const [name, n] of Object.entries(k[group] || {}).sort()) rows.push([`${text} ${name}`, count(n), group !== "operations" && num(n) > 0]);
  }
  for (const [name, text] of LINES) if (num(k[name])) rows.push([text, count(k[name]), name === "refused"]);
  if (num(k.limitedNs)) rows.push(["Waited for a rate limit", nanoseconds(k.limitedNs), false]);
  if (!rows.length) return empty("Nothing yet.");
  return table("Counted", [{ head: "What", cell: (r) => r[0] }, { head: "Since it started", class: "num", cell: (r) => (r[2] ? h("span", { class: "tag bad" }, r[1]) : r[1]) }], rows, { key: (r) => r[0] });
}

const qps = (d) => table("Queue pairs", [
  { head: "QPN", cell: (q) => h("span", { class: "mono" }, hex(q.qpn)) },
  { head: "Type", cell: (q) => q.type || "–" },
  { head: "State", cell: (q) => h("span", { class: "tag " + (q.state === "RTS" ? "good" : q.state === "ERR" || q.state === "SQE" ? "bad" : "") }, q.state || "–") },
  { head: "Peer", cell: (q) => [q.peer || "–", q.peerQpn ? h("span", { class: "sub mono" }, hex(q.peerQpn)) : null] },
  { head: "Sent", class: "num", cell: (q) => bytes(q.txBytes) },
  { head: "Received", class: "num", cell: (q) => bytes(q.rxBytes) },
  { head: "Way", class: "wide", cell: (q) => q.fabric || "–" },
  { head: "Waiting", class: "num wide", cell: (q) => count(q.outstanding) },
  { head: "Again", class: "num wide", cell: (q) => count(q.retransmits) },
  { head: "RNR", class: "num wide", cell: (q) => count(q.rnrWaits) },
  { head: "Limited", class: "num wide", cell: (q) => (num(q.limitedNs) ? nanoseconds(q.limitedNs) : "–") },
  { head: "Process", class: "num wide", cell: (q) => q.pid || "–" },
], d.qps || [], { key: (q) => String(q.qpn) });

const cms = (d) => table("CM identifiers", [
  { head: "Id", cell: (c) => count(c.id) }, { head: "State", cell: (c) => c.state || "–" }, { head: "Local", cell: (c) => c.local || "–" }, { head: "Peer", cell: (c) => c.peer || "–" },
  { head: "QPN", class: "mid", cell: (c) => (c.qpn ? h("span", { class: "mono" }, hex(c.qpn)) : "–") }, { head: "Process", class: "num mid", cell: (c) => c.pid || "–" },
], d.cmIds || [], { key: (c) => String(c.id) });

const ACCESS = [[1, "local write"], [2, "remote write"], [4, "remote read"], [8, "remote atomic"], [16, "window bind"]];
const mrs = (list) => table("Memory regions", [
  { head: "Address", cell: (m) => h("span", { class: "mono" }, "0x" + BigInt(m.addr || 0).toString(16)) },
  { head: "Length", class: "num", cell: (m) => bytes(m.length) },
  { head: "RKey", class: "mid", cell: (m) => h("span", { class: "mono" }, hex(m.rkey)) },
  { head: "Access", class: "mid", cell: (m) => ACCESS.filter(([bit]) => num(m.access) & bit).map(([, text]) => text).join(", ") || "local read" },
  { head: "Process", class: "num", cell: (m) => m.pid || "–" },
], list, { key: (m) => String(m.id) });

const matched = (list) => table("Policies", [
  { head: "Policy", cell: (p) => [p.name, h("span", { class: "sub" }, p.kind)] },
  { head: "Because it selects", class: "mid", cell: (p) => p.selects },
  { head: "Holds", cell: (p) => [(p.holds || []).map((t) => h("div", {}, t)), (p.overruled || []).map((t) => h("div", { class: "soft" }, "not: ", t))] },
], list, { key: (p) => `${p.kind}/${p.name}` });

const some = (shown, total) => (num(total) > shown ? h("small", {}, `${count(shown)} of ${count(total)}`) : h("small", {}, count(shown)));

export default function container(main, { signal, tell, parts: [network, name] }) {
  const body = h("div");
  show(main, h("h1", {}, name, h("small", {}, "network ", h("a", { href: `#/containers?network=${encodeURIComponent(network)}` }, network))), body);
  return repeat(2000, (end) => call("UsageService", "Inspect", { network, name }, end), (m) => show(body, draw(m)), (how, e) => {
    if (e?.code === "not_found") {
      show(body, empty("There is no such container any more."));
      return tell("live");
    }
    tell(how, e);
  }, signal);
}

function draw(m) {
  const lc = m.container || {}, c = lc.container || {}, r = lc.rates || {}, d = m.details || {}, known = num(m.detailsAt) > 0;
  const running = c.state === "STATE_RUNNING";
  const waits = running && lc.rates ? "Asked its router; it comes with the next report." : "Nothing is known: the container does not run, or its router reports no usage.";
  const box = (kind, value, text) => h("div", { class: "tile " + kind }, h("b", {}, value), h("span", {}, text));
  return [
    h("div", { class: "tiles" },
      box("", tile(r.txBits), "sends"), box("", tile(r.rxBits), "receives"),
      box("", count(num(r.txMessages) + num(r.rxMessages)), "messages a second"),
      box(num(r.limited) ? "warn" : "", percent(num(r.limited)), "of the time limited"),
      box(num(lc.deniedRecently) ? "bad" : "", count(lc.deniedRecently), "over quota lately"),
      box(num(lc.refusedRecently) ? "bad" : "", count(lc.refusedRecently), "refused lately")),
    h("div", { class: "grid" },
      h("div", {},
        h("section", { class: "card" }, h("h2", {}, "Rates"), chart(lc.history, c.name)),
        h("section", { class: "card" }, h("h2", {}, "Policies", some((m.policies || []).length)), (m.policies || []).length ? matched(m.policies) : empty("No policy concerns it. One of each kind is in docs/examples:", "freeflow apply -f docs/examples/quota.yaml")),
        h("section", { class: "card" }, h("h2", {}, "Counted"), counted(lc))),
      h("div", {},
        h("section", { class: "card" }, h("h2", {}, "Facts"), h("dl", { class: "facts" }, facts(lc, c).map(([k, v]) => [h("dt", {}, k), h("dd", {}, v)]))),
        h("section", { class: "card" }, h("h2", {}, "Objects and quotas"), objects(lc)))),
    h("section", { class: "card" }, h("h2", {}, "Flows", some((m.flows || []).length)), (m.flows || []).length ? flowTable(m.flows) : empty("It has not talked to anybody yet.")),
    h("section", { class: "card" }, h("h2", {}, "Queue pairs", known ? some((d.qps || []).length, d.qpsTotal) : null), (d.qps || []).length ? qps(d) : empty(known ? "None." : waits)),
    h("div", { class: "grid" },
      h("section", { class: "card" }, h("h2", {}, "Memory regions", some((m.mrs || []).length, m.mrsTotal)), (m.mrs || []).length ? mrs(m.mrs) : empty("None is registered.")),
      h("section", { class: "card" }, h("h2", {}, "CM identifiers", known ? some((d.cmIds || []).length, d.cmIdsTotal) : null), (d.cmIds || []).length ? cms(d) : empty(known ? "None." : waits))),
  ];
}

const facts = (lc, c) => [
  ["State", [state(c), " for ", ago(c.since)]], ["Host", c.host ? h("a", { href: `#/containers?host=${encodeURIComponent(c.host)}` }, c.host) : "–"], ["Address", h("span", { class: "mono" }, c.ip || "–")],
  ["Tenant", lc.tenant || "–"], ["Engine", lc.mode || "the host's mode"], ["Class", lc.class || "normal"], ["Rate limit", lc.limit || "none"], ["Doing", doing(lc)],
  ["Sent in this run", bytes(lc.counters?.txBytes)], ["Received", bytes(lc.counters?.rxBytes)],
  ["Labels", Object.entries(c.labels || {}).length ? h("div", { class: "tags" }, Object.entries(c.labels).sort().map(([k, v]) => h("span", { class: "tag" }, `${k}=${v}`))) : "–"],
  ["Instance", h("span", { class: "mono soft" }, c.instance || "–")], ["Since", time(c.since)],
];
