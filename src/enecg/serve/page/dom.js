// Elements without markup in strings: names of files and leads are text of others, and stay text.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "checked" || name === "value" || name === "disabled" || name === "hidden") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An HTML element: `el("button", {type: "button", on: {click}}, "Print")`. */
export const el = (tag, props, ...children) => fill(document.createElement(tag), props, children);

/** An SVG element, in the same way. */
export const svg = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

/** The element of an id. */
export const byId = (id) => document.getElementById(id);

/** A control with its label before it. */
export function field(label, control) {
  control.id ||= freshId("field");
  return el("span", { class: "field" }, el("label", { for: control.id }, label), control);
}

/** A labelled drop-down list; `options` are [value, text] pairs. */
export function select(label, options, value, change) {
  const box = el("select", { on: { change: (event) => change(event.target.value) } });
  box.append(...options.map(([key, text]) => el("option", { value: key }, text)));
  box.value = value;
  return field(label, box);
}

/** A button with a text. */
export const button = (text, click, props) => el("button", { type: "button", on: { click }, ...props }, text);

let counter = 0;

/** An id that nothing else on the page has. */
export const freshId = (stem) => `${stem}-${++counter}`;

/** What is remembered on this machine: settings of the drawing, never anything of a recording. */
export const remembered = {
  get(key, otherwise) {
    try {
      return JSON.parse(localStorage.getItem(`enecg.${key}`)) ?? otherwise;
    } catch {
      return otherwise;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(`enecg.${key}`, JSON.stringify(value));
    } catch {
      // Private windows forbid storage; the setting then lasts as long as the page.
    }
  },
};

let spoken;

/** Say a line to screen readers, politely; of several in quick succession only the last. */
export function say(text) {
  clearTimeout(spoken);
  spoken = setTimeout(() => {
    byId("live").textContent = text;
  }, 350);
}

/** Give a text to the user as a file. */
export function save(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}
