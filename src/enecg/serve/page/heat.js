// Where in the signal an answer comes from: how much it changes when a stretch of a lead is taken out.

import { el, svg } from "./dom.js";
import { className, digitsFor, number, short, title } from "./format.js";

const STRONGEST = 0.5; // opacity; the trace stays darker than any heat

/** The heat of one task of an explanation: cells with lead, seconds and signed change; null of an unknown task. */
export function heatOf(explanation, task) {
  const changes = explanation?.tasks[task];
  if (!changes) return null;
  const cells = [];
  explanation.leads.forEach((lead, i) =>
    explanation.windows.forEach(([from, to], j) => cells.push({ lead, from, to, effect: changes.effect[i][j] })),
  );
  const known = cells.filter((cell) => cell.effect !== null).map((cell) => Math.abs(cell.effect));
  return { task, cells, most: Math.max(0, ...known), unknown: known.length < cells.length, ...changes };
}

/** A change of the answer in words: `−2.1 years`, `+12 percentage points`. */
export function change(heat, effect) {
  if (effect === null || effect === undefined) return "no answer without it";
  if (heat.kind === "regression") return `${number(effect, digitsFor(heat.most), true)} ${heat.unit}`.trim();
  return `${number(effect * 100, digitsFor(heat.most * 100), true)} percentage points`;
}

/** Paint a heat under the traces of a drawing, or take it away (null); returns the legend's nodes. */
export function paintHeat(picture, sheet, heat) {
  const layer = picture.querySelector(".ecg-heat");
  layer.replaceChildren();
  if (!heat) return [];
  for (const segment of sheet.segments) {
    const height = Math.min(sheet.pitch, 30);
    for (const cell of heat.cells) {
      const [from, to] = [Math.max(cell.from, segment.from), Math.min(cell.to, segment.to)];
      if (cell.lead !== segment.lead || to <= from) continue;
      const box = { x: sheet.x(from), y: segment.y - height / 2, width: (to - from) * sheet.speed, height };
      const share = heat.most > 0 && cell.effect !== null ? Math.abs(cell.effect) / heat.most : 0;
      const shade = cell.effect === null ? { class: "heat-none" } : { "fill-opacity": (share * STRONGEST).toFixed(3) };
      layer.append(svg("rect", { ...box, ...shade }));
    }
  }
  return legend(heat);
}

function legend(heat) {
  const what = heat.kind === "regression" ? title(heat.task) : `probability of ${className(heat.task, heat.output)}`;
  const steps = [0, 0.25, 0.5, 0.75, 1].map((share) =>
    svg("rect", {
      x: share * 80,
      width: 20,
      height: 10,
      class: "legend-step",
      "fill-opacity": (share * STRONGEST).toFixed(3),
    }),
  );
  const unit = heat.kind === "regression" ? heat.unit : "percentage points";
  const most = heat.kind === "regression" ? heat.most : heat.most * 100;
  return [
    el("span", {}, `Shaded: how much ${what} changes when that stretch of that lead is taken out`),
    el(
      "span",
      { class: "legend-scale" },
      "0",
      svg("svg", { viewBox: "0 0 100 10", width: 100, height: 10, "aria-hidden": "true" }, steps),
      `${number(most, digitsFor(most))} ${unit}`,
    ),
    heat.unknown ? el("span", {}, "hatched edge: no answer without it") : null,
  ].filter(Boolean);
}

/** The strongest places as a table, for those who do not see the shading. */
export function heatTable(heat, rows = 5) {
  const strongest = heat.cells
    .filter((cell) => cell.effect !== null && Math.abs(cell.effect) > 0)
    .sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect))
    .slice(0, rows);
  if (!strongest.length) return el("p", {}, "No single stretch of a single lead changes this answer.");
  const line = (cell) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, cell.lead),
      el("td", {}, `${short(cell.from)} to ${short(cell.to)} s`),
      el("td", { class: "n" }, change(heat, cell.effect)),
    );
  return el(
    "table",
    { class: "compact" },
    el("caption", {}, `${title(heat.task)}: strongest places`),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        ["Lead", "Time"].map((text) => el("th", { scope: "col" }, text)),
        el("th", { scope: "col", class: "n" }, "Change without it"),
      ),
    ),
    el("tbody", {}, strongest.map(line)),
  );
}
