// Lists that are searched, sorted and shown a page at a time: the orchestrator does that, the page only shows what it asked for.
import { h, show } from "./dom.js";
import { live, call, repeat } from "./api.js";
import { containerTable, flowTable, hostTable, table, empty, search, choice, pager } from "./rows.js";
import { num, count } from "./format.js";

const SIZE = 50;

// pages keeps what is asked for, and asks anew when that changes.
function pages(start, query, signal) {
  const page = { search: "", offset: 0, limit: SIZE, ...query };
  let current = new AbortController();
  signal.addEventListener("abort", () => current.abort(), { once: true });
  const again = () => { current.abort(); current = new AbortController(); if (!signal.aborted) start(page, current.signal); };
  const set = (change) => { Object.assign(page, { offset: 0 }, change); again(); };
  const move = (by) => { page.offset = Math.max(0, page.offset + by * SIZE); again(); };
  return { page, set, move, again };
}

// sorting makes the head's buttons work, also those that come with the next table.
function sorting(node, set) {
  node.addEventListener("click", (e) => {
    const button = e.target.closest("button[data-sort]");
    if (button) set({ sort: button.getAttribute("data-sort") });
  });
}

function finish(main, title, tools, list, foot) {
  show(main, h("h1", {}, title), h("section", { class: "card" }, h("div", { class: "tools" }, tools), list, foot));
}

export function containers(main, { signal, tell, query }) {
  const list = h("div"), p = pages((page, end) => live({ history: true, containers: page }, (m) => {
    const rows = m.containers || [], total = num(m.containersTotal), all = num(m.totals?.containers);
    show(list, rows.length ? containerTable(rows, page.sort) : all
      ? empty("No container matches.")
      : empty("No containers yet. On a host:", "freeflow run --name a -- ib_send_bw"));
    foot.tell(page.offset, rows.length, total);
  }, tell, end), { sort: "rate", host: query.get("host") || "", network: query.get("network") || "", only: query.get("only") || "" }, signal);
  const foot = pager(p.move);
  sorting(list, p.set);
  const about = [p.page.host && `on ${p.page.host}`, p.page.network && `of network ${p.page.network}`].filter(Boolean).join(" ");
  finish(main, ["Containers", about ? h("small", {}, about, " · ", h("a", { href: "#/containers" }, "all")) : null], [
    search("Search names, addresses, labels", "", (text) => p.set({ search: text })),
    choice("Which containers", [["", "All"], ["running", "Running"], ["stopped", "Stopped"], ["limited", "Limited now"], ["denied", "Refused something"]], p.page.only, (only) => p.set({ only })),
    choice("Order", [["rate", "By rate"], ["name", "By name"], ["host", "By host"], ["limited", "By time limited"], ["denied", "By refusals"]], "rate", (sort) => p.set({ sort })),
  ], list, foot);
  p.again();
}

export function flows(main, { signal, tell, query }) {
  const list = h("div"), p = pages((page, end) => live({ history: true, flows: page }, (m) => {
    const rows = m.flows || [], all = num(m.totals?.flows);
    show(list, rows.length ? flowTable(rows, page.sort) : all ? empty("No flow matches.")
      : empty("No flows yet: they appear when containers talk to each other. For a try, on a host:", "freeflow run --name a --ip 10.77.0.1 -- ib_send_bw --run_infinitely"));
    foot.tell(page.offset, rows.length, num(m.flowsTotal));
  }, tell, end), { sort: "rate", host: query.get("host") || "" }, signal);
  const foot = pager(p.move);
  sorting(list, p.set);
  finish(main, "Flows", [search("Search containers and hosts", "", (text) => p.set({ search: text }))], list, foot);
  p.again();
}

export function hosts(main, { signal, tell }) {
  const list = h("div");
  finish(main, "Hosts", [], list, null);
  return live({ hosts: true, history: true }, (m) => {
    const rows = m.hosts || [];
    show(list, rows.length ? hostTable(rows)
      : empty("No hosts yet. On each host, with a token of freeflow token create:", "freeflow router --orchestrator URL --join-token TOKEN --host-ip IP"));
  }, tell, signal);
}

export function networks(main, { signal, tell }) {
  const list = h("div");
  finish(main, "Networks", [], list, null);
  const ask = async (end) => {
    const [nets, containers] = await Promise.all([call("ClusterService", "List", { kind: "KIND_NETWORK" }, end), call("ClusterService", "List", { kind: "KIND_CONTAINER" }, end)]);
    const running = new Map();
    for (const { container: c } of containers.items || []) if (c?.state === "STATE_RUNNING") running.set(c.network, (running.get(c.network) || 0) + 1);
    return (nets.items || []).map((i) => i.network).filter(Boolean).map((n) => ({ ...n, running: running.get(n.name) || 0 }));
  };
  return repeat(5000, ask, (rows) => show(list, table("Networks", [
    { head: "Network", cell: (n) => h("a", { href: `#/containers?network=${encodeURIComponent(n.name)}` }, n.name) },
    { head: "Addresses", cell: (n) => h("span", { class: "mono" }, n.cidr || "–") },
    { head: "Tenant", cell: (n) => n.tenant || "–" },
    { head: "VNI", class: "num mid", cell: (n) => count(n.vni) },
    { head: "MTU", class: "num mid", cell: (n) => (n.mtu ? count(n.mtu) : "router's choice") },
    { head: "Running", class: "num", cell: (n) => count(n.running) },
  ], rows, { key: (n) => n.name })), tell, signal);
}

export function policies(main, { signal, tell }) {
  const list = h("div"), p = pages((page, end) => repeat(4000, (s) => call("UsageService", "Policies", { page }, s), (m) => {
    const rows = m.policies || [];
    show(list, rows.length ? policyTable(rows) : page.search ? empty("No policy matches.")
      : empty("No policies yet: everybody may talk to everybody, as fast as it goes. One of each kind is in docs/examples:", "freeflow apply -f docs/examples/rate-limit.yaml"));
    foot.tell(page.offset, rows.length, num(m.total));
  }, tell, end), {}, signal);
  const foot = pager(p.move);
  finish(main, "Policies", [search("Search policies", "", (text) => p.set({ search: text }))], list, foot);
  p.again();
}

const policyTable = (rows) => table("Policies", [
  { head: "Policy", cell: (x) => [x.name, h("span", { class: "sub" }, x.kind), h("span", { class: "sub narrow" }, x.selects, ": ", x.what)] },
  { head: "Concerns", class: "mid", cell: (x) => x.selects },
  { head: "Says", class: "mid", cell: (x) => x.what },
  { head: "Containers", class: "num mid", cell: (x) => count(x.containers) },
  { head: "Does now", cell: (x) => h("div", { class: "tags" },
    num(x.limited) ? h("span", { class: "tag warn" }, `limits ${count(x.limited)}`) : null,
    num(x.denied) ? h("span", { class: "tag bad" }, `over quota ${count(x.denied)}`) : null,
    num(x.refused) ? h("span", { class: "tag bad" }, `refused ${count(x.refused)}`) : null,
    !num(x.limited) && !num(x.denied) && !num(x.refused) ? h("span", { class: "tag" }, num(x.containers) ? "in force" : "nobody yet") : null) },
  { head: "Order", class: "num wide", cell: (x) => count(x.order) },
], rows, { key: (x) => `${x.kind}/${x.name}` });
