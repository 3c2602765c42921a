// Which view is shown, who is logged in, and how the connection is.
import { h, show } from "./dom.js";
import { call } from "./api.js";
import { word } from "./format.js";
import login from "./view-login.js";
import overview from "./view-overview.js";
import container from "./view-container.js";
import audit from "./view-audit.js";
import { containers, flows, hosts, networks, policies } from "./view-lists.js";

const VIEWS = [
  ["", "Overview", overview], ["hosts", "Hosts", hosts], ["networks", "Networks", networks], ["containers", "Containers", containers],
  ["flows", "Flows", flows], ["policies", "Policies", policies], ["audit", "Audit", audit, ["operator", "admin"]],
];

const main = document.getElementById("main"), nav = document.getElementById("nav"), bar = document.getElementById("who"), alerts = document.getElementById("alerts");
const status = h("span", { "aria-live": "polite" });
let me = null, view = new AbortController();

const HOW = { live: ["live", "live"], poll: ["poll", "asking every 3 s"], off: ["off", "not connected"] };
function tell(how, error) {
  const [kind, text] = HOW[how];
  show(status, h("span", { class: "dot " + kind }), text);
  if (error?.loggedOut) return out("The session has ended: log in again.");
  alert("connection", how === "off" && error ? error.message : "", true);
}

const said = new Map();
function alert(what, text, bad) {
  said.set(what, text ? h("p", { class: "notice" + (bad ? " bad" : "") }, text) : null);
  show(alerts, [...said.values()]);
}

function frame() {
  const at = location.hash.replace(/^#\//, "").split(/[/?]/)[0];
  show(nav, me ? VIEWS.filter(([, , , roles]) => !roles || roles.includes(me.role)).map(([path, text]) =>
    h("a", { href: "#/" + path, "aria-current": at === path || (path === "containers" && at === "container") ? "page" : null }, text)) : null);
  nav.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  if (!me) return show(bar);
  const button = h("button", { type: "button", class: "plain" }, "Log out");
  button.addEventListener("click", async () => { await call("AccessService", "Logout").catch(() => {}); out(); });
  bar.replaceChildren(status, h("span", { class: "mid" }, `${me.name} (${me.role})`), ...(me.session ? [button] : []));
}

function out(message) {
  me = null;
  view.abort();
  said.clear();
  show(alerts);
  frame();
  login(main, { entered: enter, message });
}

function go() {
  if (!me) return;
  view.abort();
  view = new AbortController();
  said.clear();
  show(alerts);
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").map(decodeURIComponent);
  const context = { signal: view.signal, tell, note: (text) => alert("note", text), query: new URLSearchParams(query || ""), parts: parts.slice(1) };
  const found = parts[0] === "container" && parts.length === 3 ? [null, parts[2], container] : VIEWS.find(([p]) => p === parts[0]);
  main.replaceChildren();
  frame();
  document.title = `${found ? found[1] : "Nothing here"} · FreeFlow`;
  if (!found) return show(main, h("h1", {}, "Nothing here"), h("p", {}, h("a", { href: "#/" }, "Overview")));
  found[2](main, context);
}

async function enter() {
  try {
    const who = await call("AccessService", "WhoAmI");
    if (!who.role) return out();
    me = { role: word(who.role, "ROLE_"), name: who.name || "", session: !!who.session };
    go();
    main.focus({ preventScroll: true });
  } catch (e) {
    if (e.loggedOut || e.code === "permission_denied") return out();
    alert("connection", e.message, true);
    setTimeout(enter, 2000);
  }
}

addEventListener("hashchange", () => { go(); scrollTo(0, 0); });
enter();
