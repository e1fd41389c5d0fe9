// The answers to all tasks as cards: value, interval, sentence, and the weights of the experts.

import { el, svg } from "./dom.js";
import { className, decimals, number, percent, title } from "./format.js";
import { certainty, hasInterval, headline, ranked, sentence, silent } from "./wording.js";

const RANGES = { age: [0, 100], rr_interval: [300, 1700] };
const SHOWN = 4; // classes in a card; the rest is in the file to download

/** All cards of one recording. */
export function answerCards(item) {
  const { tasks, recording } = item.answer;
  return Object.entries(tasks).map(([task, answer]) => card(task, answer, recording));
}

function card(task, answer, recording) {
  const sure = certainty(answer);
  const interval = answer.kind === "regression" && hasInterval(answer);
  return el(
    "article",
    { class: "answer", data: { task } },
    el("h3", {}, title(task)),
    el(
      "p",
      { class: "value" },
      el("strong", {}, headline(task, answer)),
      sure
        ? el("span", { class: "sure" }, interval ? "90 % interval " : "", el("span", { class: "figures" }, sure))
        : null,
    ),
    silent(answer) ? null : picture(task, answer, recording),
    el("p", { class: "sentence" }, sentence(task, answer, recording)),
    weightsBar(answer),
  );
}

function picture(task, answer, recording) {
  return answer.kind === "regression" ? scale(task, answer, recording) : bars(task, answer);
}

/** The interval on a scale; what the file states is a hollow diamond. The sentence says the same. */
function scale(task, answer, recording) {
  if (!hasInterval(answer)) return null;
  const room = (answer.high - answer.low) * 0.6;
  const [usualLow, usualHigh] = RANGES[task] ?? [answer.low - room, answer.high + room];
  const [low, high] = [Math.min(usualLow, answer.low), Math.max(usualHigh, answer.high)];
  const at = (value) => 4 + ((value - low) / (high - low)) * 232;
  const digits = decimals(answer);
  const stated =
    task === "age" && recording.age !== null && recording.age !== undefined
      ? at(Math.min(high, Math.max(low, recording.age)))
      : null;
  return svg(
    "svg",
    { class: "scale", viewBox: "0 0 240 34", "aria-hidden": "true" },
    svg("path", { class: "scale-line", d: "M4 10H236M4 6v8M236 6v8" }),
    svg("rect", {
      class: "scale-span",
      x: at(answer.low),
      y: 5,
      width: Math.max(2, at(answer.high) - at(answer.low)),
      height: 10,
      rx: 2,
    }),
    svg("circle", { class: "scale-dot", cx: at(answer.value), cy: 10, r: 5.5 }),
    stated === null ? null : svg("path", { class: "scale-stated", d: `M${stated} 3l6 7-6 7-6-7z` }),
    svg("text", { x: 4, y: 30 }, number(low, digits)),
    stated === null ? null : svg("text", { x: 120, y: 30, "text-anchor": "middle" }, "◇ stated in the file"),
    svg("text", { x: 236, y: 30, "text-anchor": "end" }, number(high, digits)),
  );
}

/** Probabilities as bars; a line marks the threshold where there is one. */
function bars(task, answer) {
  const all = answer.kind === "binary" ? positive(answer) : ranked(answer);
  const rows = all.slice(0, answer.kind === "multilabel" ? Math.max(SHOWN, answer.decision?.length ?? 0) : SHOWN);
  const chosen = new Set([answer.decision].flat());
  const line = ([name, share]) => {
    const threshold = answer.thresholds?.[name];
    const bar = svg(
      "svg",
      { class: "bar", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { class: "bar-track", width: 100, height: 8 }),
      svg("rect", { class: chosen.has(name) ? "bar-chosen" : "bar-other", width: 100 * (share ?? 0), height: 8 }),
      threshold === undefined
        ? null
        : svg("rect", { class: "bar-threshold", x: 100 * threshold - 0.5, width: 1, height: 8 }),
    );
    return el(
      "li",
      { class: chosen.has(name) ? "chosen" : "" },
      el("span", {}, className(task, name)),
      bar,
      el("span", { class: "n" }, percent(share)),
    );
  };
  const rest = all.length - rows.length;
  return el(
    "div",
    {},
    el("ul", { class: "bars" }, rows.map(line)),
    rest > 0 ? el("p", { class: "more" }, `and ${rest} less probable`) : null,
  );
}

/** Of two classes the one that has the threshold: the other's share is what is left. */
const positive = (answer) => Object.entries(answer.probabilities).slice(-1);

/** The weights of the experts, the largest first. */
function weightsBar(answer) {
  const shares = Object.entries(answer.weights ?? {})
    .filter(([, share]) => share > 0.005)
    .sort((a, b) => b[1] - a[1]);
  if (!shares.length) return null;
  let x = 0;
  const blocks = shares.map(([, share], i) => {
    const block = svg("rect", {
      x: 100 * x,
      width: Math.max(0, 100 * share - 0.6),
      height: 6,
      "fill-opacity": Math.max(0.25, 1 - 0.28 * i),
    });
    x += share;
    return block;
  });
  const words = shares.slice(0, 3).map(([name, share]) => `${name} ${percent(share)}`);
  if (shares.length > 3) words.push(`${shares.length - 3} more`);
  return el(
    "div",
    { class: "weights-bar" },
    svg("svg", { viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" }, blocks),
    el("p", {}, `Largest weights: ${words.join(", ")}`),
  );
}
