// Two recordings of one patient: both on the same paper, their median beats over each other, and what has changed.

import { el, freshId, select, svg } from "./dom.js";
import { className, decimals, number, percent, title } from "./format.js";
import { toolbar, Viewer } from "./viewer.js";
import { look, millimetre } from "./look.js";
import { meanRr } from "./measure.js";
import { records } from "./records.js";
import { medianBeats } from "./signal.js";
import { certainty, hasInterval, headline, silent } from "./wording.js";

const chosen = { a: null, b: null };
const BEFORE = 0.25; // s of a median beat ahead of the R peak
const AFTER = 0.5;

/** Draw the view; `load` fetches the samples of a recording that was only in the table. */
export function showCompare(host, { load, again }) {
  const heading = el("h1", { tabindex: -1 }, "Compare two recordings");
  const usable = records.items.filter((item) => item.state === "answered" || item.state === "refused");
  if (usable.length < 2) {
    host.replaceChildren(
      heading,
      el("p", { class: "soft" }, "Open two recordings of one patient first; then both can be drawn on the same paper."),
    );
    return { heading, close: () => {} };
  }
  for (const [side, otherwise] of [
    ["a", usable[0]],
    ["b", usable[1]],
  ])
    if (!usable.includes(chosen[side])) chosen[side] = otherwise;
  if (chosen.a === chosen.b) chosen.b = usable.find((item) => item !== chosen.a);
  const options = usable.map((item) => [String(item.id), item.path ?? item.name]);
  const pick = (side, label) =>
    select(label, options, String(chosen[side].id), (id) => {
      chosen[side] = usable.find((item) => String(item.id) === id);
      again();
    });
  const waiting = [chosen.a, chosen.b].filter((item) => !item.signal);
  if (waiting.length) {
    host.replaceChildren(heading, el("p", { role: "status" }, "Reading the samples."));
    load(waiting);
    return { heading, close: () => {} };
  }
  const { a, b } = chosen;
  const viewers = [a, b].map((item) => new Viewer(item, { controls: false }));
  const controls = toolbar(a.signal.unit, () => viewers[0].pxPerMm / millimetre().px);
  const tell = () => controls.querySelector(".zoom").tell();
  look.addEventListener("zoom", tell);
  host.replaceChildren(
    el(
      "div",
      { class: "view-head" },
      heading,
      el("div", { class: "actions" }, pick("a", "First"), pick("b", "Second")),
    ),
    el("p", { class: "soft" }, "Nothing checks that both are of one patient; that is for you to know."),
    changes(a, b),
    overlay(a, b),
    controls,
    ...viewers.flatMap((viewer, i) => [
      el("h2", { class: "compare-name" }, `${"AB"[i]}: ${viewer.item.name}`),
      viewer.node,
    ]),
  );
  for (const viewer of viewers) viewer.draw();
  tell();
  const close = () => {
    look.removeEventListener("zoom", tell);
    for (const viewer of viewers) viewer.close();
  };
  return { heading, close };
}

function changes(a, b) {
  const names = [...new Set([a, b].flatMap((item) => Object.keys(item.answer.tasks)))];
  const [rrA, rrB] = [meanRr(a.peaks), meanRr(b.peaks)];
  const rows = names.map((task) => [
    title(task),
    answerText(a, task),
    answerText(b, task),
    difference(task, a.answer.tasks[task], b.answer.tasks[task]),
  ]);
  rows.push([
    "Mean RR by R peaks",
    `${number(rrA)} ms`,
    `${number(rrB)} ms`,
    Number.isFinite(rrB - rrA) ? `${number(rrB - rrA, 0, true)} ms` : "",
  ]);
  rows.push(["Quality findings", found(a), found(b), ""]);
  const head = ["", `A: ${a.name}`, `B: ${b.name}`, "B against A"].map((text) =>
    text ? el("th", { scope: "col" }, text) : el("td", {}),
  );
  const line = ([first, ...rest]) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, first),
      rest.map((text) => el("td", {}, text)),
    );
  return el(
    "section",
    { class: "panel" },
    el("h2", {}, "What has changed"),
    el(
      "div",
      { class: "scroll-x", tabindex: 0, role: "region", "aria-label": "Changes" },
      el("table", { class: "changes" }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows.map(line))),
    ),
  );
}

function answerText(item, task) {
  const answer = item.answer.tasks[task];
  if (!answer) return "no answer";
  const sure = certainty(answer);
  return `${headline(task, answer)}${sure ? ` (${sure})` : ""}`;
}

const found = (item) => item.answer.quality.map((finding) => finding.code.replaceAll("_", " ")).join(", ") || "none";

/** In words: by how much, and whether that is more than what the model does not know. */
function difference(task, a, b) {
  if (!a || !b || silent(a) || silent(b)) return "";
  if (a.kind === "regression") {
    const by = `${number(b.value - a.value, decimals(a), true)} ${a.unit}`.trim();
    if (!hasInterval(a) || !hasInterval(b)) return by;
    const apart = a.high < b.low || b.high < a.low;
    return `${by}; the intervals ${apart ? "lie apart" : "overlap"}`;
  }
  if (a.kind === "multilabel") {
    const gone = a.decision.filter((name) => !b.decision.includes(name));
    const come = b.decision.filter((name) => !a.decision.includes(name));
    return (
      [come.length ? `new: ${come.join(", ")}` : "", gone.length ? `gone: ${gone.join(", ")}` : ""]
        .filter(Boolean)
        .join("; ") || "the same findings"
    );
  }
  if (a.decision !== b.decision) return `${className(task, a.decision)} has become ${className(task, b.decision)}`;
  const points = number((b.probabilities[b.decision] - a.probabilities[a.decision]) * 100, 0, true);
  return `the same (${percent(a.probabilities[a.decision])}, ${points} points)`;
}

/** The median beats of both, lead by lead, aligned at the R peak and drawn at the same gain. */
function overlay(a, b) {
  const section = (content) =>
    el("section", { class: "panel" }, el("h2", {}, "Median beats, aligned at the R peak"), content);
  if (a.signal.unit !== b.signal.unit)
    return section(
      el(
        "p",
        {},
        "One of the two is normalised: heights cannot be compared, so the beats are not drawn over each other.",
      ),
    );
  const beats = [a, b].map((item) => medianBeats(item.signal, item.peaks, BEFORE, AFTER));
  if (beats.includes(null)) return section(el("p", {}, "Fewer than three whole beats were found in one of the two."));
  const leads = Object.keys(beats[0]).filter((lead) => lead in beats[1]);
  const gain = a.signal.unit === "mV" ? 10 : 2.5; // mm/mV, and 25 mm/s across
  const frameOf = (those) => {
    const all = beats.flatMap((beat) => those.flatMap((lead) => [...beat[lead]])).filter(Number.isFinite);
    const [low, high] = all.reduce(
      ([least, most], value) => [Math.min(least, value), Math.max(most, value)],
      [-5 / gain, 5 / gain],
    );
    return { gain, top: -5 * Math.ceil((high * gain) / 5), bottom: -5 * Math.floor((low * gain) / 5) };
  };
  // Limb leads are lower than chest leads; within each kind heights can be compared at a glance.
  const kinds = [leads.filter((lead) => !lead.startsWith("V")), leads.filter((lead) => lead.startsWith("V"))];
  const pictures = kinds.flatMap((those) => those.map((lead) => beatPicture(lead, beats, [a, b], frameOf(those))));
  const key = el(
    "p",
    { class: "key" },
    el("span", { class: "key-a" }, "A"),
    ` ${a.name}, solid · `,
    el("span", { class: "key-b" }, "B"),
    ` ${b.name}, dashed. Boxes are 5 mm: 0.2 s and ${a.signal.unit === "mV" ? "0.5 mV" : "2 SD"}.`,
  );
  return section([key, el("div", { class: "beats" }, pictures)]);
}

function beatPicture(lead, beats, items, { gain, top, bottom }) {
  const wide = (BEFORE + AFTER) * 25;
  const line = (samples, rate) =>
    [...samples]
      .map((value, i) => `${i ? "L" : "M"}${((i / rate) * 25).toFixed(2)} ${(-value * gain).toFixed(2)}`)
      .join("");
  const lines = [];
  for (let x = 0; x <= wide + 0.01; x += 5) lines.push(`M${x} ${top}V${bottom}`);
  for (let y = top; y <= bottom; y += 5) lines.push(`M0 ${y}H${wide}`);
  const id = freshId("beat");
  return svg(
    "svg",
    { class: "beat", viewBox: `0 ${top} ${wide} ${bottom - top}`, role: "img", "aria-labelledby": id },
    svg("title", { id }, `Median beats of lead ${lead}`),
    svg("path", { class: "ecg-thick", d: lines.join("") }),
    svg("path", { class: "beat-a", d: line(beats[0][lead], items[0].signal.rate) }),
    svg("path", { class: "beat-b", d: line(beats[1][lead], items[1].signal.rate) }),
    svg("text", { x: 0.6, y: top + 2.2, "aria-hidden": "true" }, lead),
  );
}
