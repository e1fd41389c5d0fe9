// One page of A4: the ECG at true scale, the answers, the findings, and what this is not.

import { CalliperLayer } from "./callipers.js";
import { byId, el } from "./dom.js";
import { count, NOTICE, number, percent, short, title } from "./format.js";
import { paintHeat } from "./heat.js";
import { look } from "./look.js";
import { correctedOf } from "./measure.js";
import { drawSheet } from "./paper.js";
import { certainty, headline, silent } from "./wording.js";
import { sheetOf } from "./viewer.js";

const SHOWN = 10; // answers on the page
const LONG = 5; // s that fit at 50 mm/s

/** Lay the page out for printing; the browser's dialog prints it, or saves it as PDF. */
export function layPage(item) {
  const fast = look.speed > 25;
  const sheet = sheetOf(item, { tight: true, seconds: fast ? LONG : 10 });
  const filter = fast ? `${LONG} s a page at this speed · no display filter` : "no display filter";
  const picture = drawSheet(sheet, { heading: item.name, who: item.who, peaks: item.peaks, marks: look.peaks, filter });
  picture.querySelector(".ecg-trace").setAttribute("stroke-width", 0.25);
  const legend = paintHeat(picture, sheet, item.heat);
  const layer = new CalliperLayer({ changed: () => {}, leave: () => {} });
  layer.draw(sheet, item.callipers, item.peaks);
  for (const node of [picture, layer.node]) {
    node.setAttribute("width", `${sheet.width}mm`);
    node.setAttribute("height", `${sheet.height}mm`);
  }
  byId("print").replaceChildren(
    el("div", { class: "paper" }, picture, layer.node),
    ...(legend.length ? [el("div", { class: "legend" }, legend)] : []),
    answersRow(item),
    footer(item),
  );
}

function answersRow(item) {
  if (item.state === "refused") {
    const why = item.answer.quality.filter((finding) => finding.fatal).map((finding) => finding.text);
    return el("p", { class: "print-refusal" }, el("strong", {}, "No answers: "), why.join("; "));
  }
  const tasks = Object.entries(item.answer.tasks);
  const blocks = tasks.slice(0, SHOWN).map(([task, answer]) => {
    const sure = certainty(answer);
    const interval = answer.kind === "regression" && !silent(answer) ? `90 %: ${sure}` : sure;
    const [first] = Object.entries(answer.weights ?? {}).sort((a, b) => b[1] - a[1]);
    return el(
      "div",
      {},
      el("dt", {}, title(task)),
      el("dd", {}, el("strong", {}, headline(task, answer)), interval ? ` (${interval})` : ""),
      first ? el("dd", { class: "soft" }, `mostly by ${first[0]}, ${percent(first[1])}`) : null,
    );
  });
  const rest = tasks.length - SHOWN;
  return el(
    "dl",
    { class: "print-answers" },
    blocks,
    rest > 0 ? el("div", {}, el("dt", {}, `${count(rest, "more task")} on the screen`)) : null,
  );
}

function footer(item) {
  const { recording, quality, notes } = item.answer;
  const found = quality.length
    ? `Quality: ${quality.map((finding) => finding.text).join("; ")}.`
    : "Quality: nothing found.";
  const qtc = correctedOf(item.callipers, item.peaks);
  const measured = qtc?.rr
    ? ` QTc ${number(qtc.fridericia)} ms (Fridericia), ${number(qtc.bazett)} ms (Bazett), RR ${number(qtc.rr)} ms.`
    : "";
  const left = notes.length ? ` Notes: ${notes.join("; ")}.` : "";
  const { bundle, enecg } = item.about;
  const file = `${recording.format}, ${short(recording.seconds)} s, ${short(recording.rate)} Hz`;
  const source = `${file}; model ${bundle.slice(0, 12)}, EnECG ${enecg}; unconfirmed.`;
  return el(
    "footer",
    { class: "print-footer" },
    el("p", {}, `${found}${left}${measured} `, el("span", { class: "soft" }, source)),
    el("p", { class: "notice" }, NOTICE, " True scale when printed at 100 %, not fitted to the page."),
  );
}
