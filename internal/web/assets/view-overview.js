// The cluster at a glance.
import { h, show } from "./dom.js";
import { live } from "./api.js";
import { chart } from "./chart.js";
import { topology } from "./topology.js";
import { empty, flowTable, hostTable } from "./rows.js";
import { tile, num, count } from "./format.js";

const box = (kind, href, value, text) => h(href ? "a" : "div", { class: "tile " + kind, href }, h("b", {}, value), h("span", {}, text));

export function tiles(t) {
  return h("div", { class: "tiles" },
    box("", null, tile(t.rates?.txBits), "sent by all containers"),
    box("", "#/containers?only=running", count(t.running), num(t.containers) > num(t.running) ? `running of ${count(t.containers)} containers` : "containers running"),
    box("", "#/flows", count(t.flows), "flows"),
    box(num(t.limited) ? "warn" : "", "#/containers?only=limited", count(t.limited), "limited now"),
    box(num(t.denied) ? "bad" : "", "#/containers?only=denied", count(t.denied), "refused something lately"),
    box(num(t.hosts) > num(t.hostsReady) ? "bad" : "", "#/hosts", `${count(t.hostsReady)}`, num(t.hosts) > num(t.hostsReady) ? `hosts ready of ${count(t.hosts)}` : "hosts ready"));
}

export default function overview(main, { signal, tell, note }) {
  const top = h("div"), picture = h("section", { class: "card", "aria-label": "Topology" }), rates = h("section", { class: "card" });
  const flows = h("section", { class: "card" }), hosts = h("section", { class: "card" });
  show(main, h("h1", {}, "Overview"), top, h("div", { class: "grid" }, h("div", {}, picture, rates), flows), hosts);
  const width = () => Math.max(260, Math.floor(picture.clientWidth - 28));
  const draw = (m) => {
    const t = m.totals || {}, list = m.flows || [], there = m.hosts || [], containers = m.containers || [];
    show(top, tiles(t));
    show(rates, h("h2", {}, "All containers"), chart(t.history, "All containers"));
    show(picture, h("h2", {}, "Topology"), there.length
      ? topology({ hosts: there, links: m.links, containers, flows: list, total: num(m.containersTotal) }, width())
      : empty("No hosts yet. On each host, with a token of freeflow token create:", "freeflow router --orchestrator URL --join-token TOKEN --host-ip IP"));
    show(flows, h("h2", {}, "Flows", h("small", {}, num(m.flowsTotal) > 8 ? `the 8 with the highest rates of ${count(m.flowsTotal)}` : "")), list.length
      ? flowTable(list.slice(0, 8))
      : empty(containers.length ? "No flows yet: the containers have not talked to each other." : "No containers yet. On a host:", containers.length ? "" : "freeflow run --name a -- ib_send_bw"));
    show(hosts, h("h2", {}, "Hosts"), there.length ? hostTable(there) : empty("No hosts yet."));
    note(num(t.silent) && there.length ? `${count(t.silent)} of ${count(t.hostsReady)} hosts report no usage: their rates are not known.` : "");
  };
  return live({ hosts: true, history: true, histories: 8, containers: { limit: 40, only: "running", sort: "name" }, flows: { limit: 80, sort: "rate" } }, draw, tell, signal);
}
