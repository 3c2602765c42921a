// Elements are made here and nowhere else. Text becomes text nodes: what a container calls itself is never markup.

const SVG = "http://www.w3.org/2000/svg";

// attributes that may be a URL: only ones of this page.
function safe(name, value) {
  if (name === "href" && !/^(#|\/assets\/)/.test(value)) throw new Error("a link to elsewhere: " + value);
  if (/^on/i.test(name) || name === "style") throw new Error("no such attribute here: " + name);
  return String(value);
}

function make(ns, tag, attributes, children) {
  const node = ns ? document.createElementNS(ns, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === false || value === null || value === undefined) continue;
    node.setAttribute(name, safe(name, value === true ? "" : value));
  }
  add(node, children);
  return node;
}

function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

// h makes an HTML element, s an SVG one: h("a", {href: "#/x"}, "text", more).
export const h = (tag, attributes, ...children) => make(null, tag, attributes, children);
export const s = (tag, attributes, ...children) => make(SVG, tag, attributes, children);

// show makes the children of a node be those given, changing what is there in place: focus, selection and scrolling stay.
export function show(node, ...children) {
  const next = document.createElement("div");
  add(next, children);
  morphChildren(node, next);
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);

function morphChildren(old, next) {
  const keyed = new Map();
  for (const child of old.childNodes) if (keyOf(child)) keyed.set(keyOf(child), child);
  let at = old.firstChild;
  for (const want of [...next.childNodes]) {
    const key = keyOf(want);
    let have = key ? keyed.get(key) : at;
    if (key && have && have !== at) old.insertBefore(have, at);
    if (have && have === at) at = at.nextSibling;
    if (!have || !same(have, want)) {
      if (have) old.replaceChild(want, have);
      else old.insertBefore(want, at);
      continue;
    }
    morph(have, want);
  }
  while (at) {
    const rest = at.nextSibling;
    at.remove();
    at = rest;
  }
}

const same = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

function morph(old, next) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== next.nodeValue) old.nodeValue = next.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) if (!next.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  morphChildren(old, next);
}
