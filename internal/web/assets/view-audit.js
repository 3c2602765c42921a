// Who changed what, and who was refused what.
import { h, show } from "./dom.js";
import { call } from "./api.js";
import { table, empty, search } from "./rows.js";
import { time, word, count, num } from "./format.js";

const pretty = (text) => { try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; } };

const rows = (list) => table("Events", [
  { head: "When", cell: (e) => [time(e.time), num(e.count) > 1 ? h("span", { class: "sub" }, `${count(e.count)} times`) : null] },
  { head: "Who", cell: (e) => [e.actor, h("span", { class: "sub" }, e.source || "")] },
  { head: "What", cell: (e) => [h("span", { class: "tag " + (e.result === "RESULT_DENIED" ? "bad" : e.result === "RESULT_FAILED" ? "warn" : "") },
    e.result === "RESULT_DONE" ? e.action : `${e.action} ${word(e.result, "RESULT_")}`), h("span", { class: "sub" }, [e.kind, e.object].filter(Boolean).join(" "))] },
  { head: "Details", class: "mid", cell: (e) => [e.reason || null, e.before || e.after ? h("details", {}, h("summary", {}, e.before && e.after ? "before and after" : e.after ? "after" : "before"),
    e.before ? h("pre", {}, pretty(e.before)) : null, e.after ? h("pre", {}, pretty(e.after)) : null) : null] },
], list, { key: (e) => e.id });

export default function audit(main, { signal, tell }) {
  const list = h("div"), more = h("button", { type: "button", class: "plain" }, "Older"), total = h("small");
  let events = [], text = "";
  const load = async (before) => {
    try {
      const m = await call("AuditService", "List", { limit: 100, search: text, before: before || "" }, signal);
      events = before ? [...events, ...(m.events || [])] : m.events || [];
      more.hidden = !m.more;
      show(total, num(m.deniedTotal) ? `${count(m.deniedTotal)} attempts refused since the orchestrator started` : "");
      show(list, events.length ? rows(events) : empty(text ? "No event matches." : "Nothing yet: changes of policies, networks and tokens come here, and what was refused."));
      tell("live");
    } catch (e) {
      if (!signal.aborted) tell("off", e);
    }
  };
  more.addEventListener("click", () => load(events[events.length - 1]?.id));
  show(main, h("h1", {}, "Audit", total), h("section", { class: "card" }, h("div", { class: "tools" }, search("Search who, what, which", "", (t) => { text = t; load(); })), list, h("div", { class: "pager" }, more)));
  load();
  const timer = setInterval(() => { if (!document.hidden && events.length <= 100) load(); }, 5000);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}
