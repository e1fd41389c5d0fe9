// The callipers as a list beside the paper: what each reads, what it is called, and the corrected QT.

import { button, el, field, select } from "./dom.js";
import { number } from "./format.js";
import { correctedOf, reading } from "./measure.js";

const NAMES = ["", "RR", "PR", "QRS", "QT"];

/** Fill `host` with the callipers of a recording. */
export function calliperList(host, item, sheet, { changed, removed }) {
  const active = document.activeElement?.dataset?.key;
  const rows = item.callipers.map((calliper, i) => row(calliper, i, sheet, changed, removed));
  host.replaceChildren(...(rows.length ? [el("ol", {}, rows)] : []), ...qtc(item));
  if (active) host.querySelector(`[data-key="${active}"]`)?.focus();
}

function row(calliper, i, sheet, changed, removed) {
  const { kind, lead, from, to, at, strip } = calliper;
  const [a, b] = kind === "time" ? [Math.min(from, to), Math.max(from, to)] : [at, at];
  const hidden = !sheet.find(lead, a, b, strip);
  const controls = kind === "time" ? timeControls(calliper, i, changed) : [];
  return el(
    "li",
    {},
    el("span", { class: "reading" }, reading(calliper, sheet.unit)),
    el("span", { class: "where" }, `lead ${lead}${hidden ? ", not on this sheet: choose 12 × 1 to see it" : ""}`),
    controls,
    button("×", () => removed(calliper), { class: "quiet", "aria-label": `Remove calliper ${i + 1}` }),
  );
}

function timeControls(calliper, i, changed) {
  const name = select(
    "name",
    NAMES.map((text) => [text, text || "–"]),
    calliper.name,
    (value) => {
      calliper.name = value;
      changed();
    },
  );
  name.lastChild.dataset.key = `name-${i}`;
  const intervals = el("input", {
    type: "number",
    min: 1,
    max: 50,
    step: 1,
    value: calliper.intervals,
    data: { key: `n-${i}` },
  });
  intervals.addEventListener("change", () => {
    calliper.intervals = Math.min(50, Math.max(1, Math.round(Number(intervals.value)) || 1));
    changed();
  });
  const march = el("input", { type: "checkbox", checked: calliper.march, data: { key: `march-${i}` } });
  march.addEventListener("change", () => {
    calliper.march = march.checked;
    changed();
  });
  return [name, field("intervals", intervals), el("label", { class: "tick" }, march, "march")];
}

function qtc(item) {
  const found = correctedOf(item.callipers, item.peaks);
  if (!found) return [];
  if (!Number.isFinite(found.rr)) return [el("p", { class: "qtc" }, `QT ${number(found.qt)} ms; QTc: ${found.source}`)];
  const by = (name) => `${name[0].toUpperCase()}${name.slice(1)} ${number(found[name])} ms`;
  const used = `QT ${number(found.qt)} ms, RR ${number(found.rr)} ms (${found.source})`;
  return [
    el(
      "p",
      { class: "qtc" },
      el("strong", {}, `QTc ${by("fridericia")} · ${by("bazett")}`),
      ` · ${by("framingham")} · ${by("hodges")}; ${used}`,
    ),
  ];
}
