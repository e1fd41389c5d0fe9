// Each answer in plain sentences: what it says, how sure it is, and what it is not.

import { className, decimals, listed, number, percent, span, title } from "./format.js";
import { rate } from "./measure.js";

const CAUTION = {
  potassium: "Only a blood test measures potassium.",
  arrhythmia: "Only the rhythms that the model was trained on can be named.",
};

/** The decided class of a binary or multiclass answer and its probability. */
export function decided(answer) {
  const name = answer.decision;
  return { name, share: answer.probabilities?.[name] ?? null };
}

/** Whether anything was answered at all. */
export function silent(answer) {
  if (answer.kind === "regression") return answer.value === null || answer.value === undefined;
  return Object.values(answer.probabilities ?? {}).every((share) => share === null);
}

/** Whether a regression's answer has an interval. */
export const hasInterval = (answer) => answer.low !== null && answer.low !== undefined;

/** The answer in a few words: `61 years`, `female`, `sinus rhythm (SR)`. */
export function headline(task, answer) {
  if (silent(answer)) return "no answer";
  if (answer.kind === "regression") return `${number(answer.value, decimals(answer))}\u00a0${answer.unit}`.trim();
  if (answer.kind === "multilabel")
    return answer.decision?.length ? answer.decision.map((name) => className(task, name)).join(", ") : "none";
  return className(task, answer.decision);
}

/** How sure, in a few words: an interval or a probability. */
export function certainty(answer) {
  if (silent(answer)) return "";
  if (answer.kind === "regression") {
    return hasInterval(answer) ? span(answer.low, answer.high, decimals(answer)) : "no interval";
  }
  if (answer.kind === "multilabel")
    return answer.decision?.length ? answer.decision.map((name) => percent(answer.probabilities[name])).join(", ") : "";
  return percent(decided(answer).share);
}

/** The answer in sentences; `recording` is what the file says of itself. */
export function sentence(task, answer, recording = {}) {
  if (silent(answer)) return "None of the experts had an answer for this recording.";
  const message = { regression, binary, multiclass, multilabel }[answer.kind](task, answer, recording);
  return [message, CAUTION[task]].filter(Boolean).join(" ");
}

function regression(task, answer, recording) {
  const value = headline(task, answer);
  const digits = decimals(answer);
  const start =
    {
      rr_interval: `Beats are ${value} apart on average, ${number(rate(answer.value))} a minute.`,
      age: `The ECG looks like that of a person of ${value}.`,
    }[task] ?? `${title(task)} is estimated at ${value}.`;
  const known = hasInterval(answer);
  const between = known ? `${span(answer.low, answer.high, digits)}\u00a0${answer.unit}`.trim() : "";
  const sure = known
    ? `Of 10 such intervals about 9 hold the true value: ${between}.`
    : "There is no interval in this model.";
  return [start, sure, task === "age" ? stated(answer, recording.age, digits) : ""].filter(Boolean).join(" ");
}

function stated(answer, age, digits) {
  if (age === null || age === undefined) return "";
  const inside = age >= answer.low && age <= answer.high;
  const place = hasInterval(answer) ? `, ${inside ? "inside" : "outside"} it` : "";
  return `The file states ${number(age, digits)} years${place}.`;
}

function binary(task, answer, recording) {
  const [positive, threshold] = Object.entries(answer.thresholds ?? {})[0] ?? [
    Object.keys(answer.probabilities)[1],
    0.5,
  ];
  const share = answer.probabilities[positive];
  const over = share >= threshold;
  const side = `${over ? "reaches" : "stays below"} the threshold of ${percent(threshold)}`;
  const answered = className(task, answer.decision);
  const start = `The probability of ${className(task, positive)} is ${percent(share)}`;
  const reached = `${start}; that ${side}, so the answer is ${answered}.`;
  const file = task === "sex" && recording.sex ? ` The file states ${className("sex", recording.sex)}.` : "";
  return reached + file;
}

function multiclass(task, answer) {
  const others = ranked(answer).filter(([name]) => name !== answer.decision);
  const next = others.length ? `; next comes ${className(task, others[0][0])} with ${percent(others[0][1])}` : "";
  return `Most probable is ${className(task, answer.decision)} with ${percent(decided(answer).share)}${next}.`;
}

function multilabel(task, answer) {
  if (!answer.decision?.length) return "No finding reaches its threshold.";
  const names = answer.decision.map((name) => `${className(task, name)} (${percent(answer.probabilities[name])})`);
  return `${listed(names)} ${names.length === 1 ? "reaches its" : "reach their"} threshold.`;
}

/** Probabilities, the highest first. */
export const ranked = (answer) =>
  Object.entries(answer.probabilities ?? {}).sort((a, b) => (b[1] ?? -1) - (a[1] ?? -1));

const REMEDY = {
  too_short: "Record at least 5 seconds; 10 are usual.",
  too_few_leads: "Check that the electrodes are connected and that the file holds all leads.",
  amplitude_high: "Check the unit that the file states: microvolts taken for millivolts look like this.",
  amplitude_low: "Check the unit that the file states, and that the electrodes are connected.",
  missing_lead: "Answers rest on the leads that are there.",
  gaps: "Samples are missing; they were bridged for the experts and are left open in the drawing.",
  flat: "Check the electrode of this lead.",
  clipped: "The amplifier's range was too small; amplitudes of these leads are unreliable.",
  einthoven: "Check the limb electrodes and the names of the leads.",
  baseline_wander: "Let the patient lie still, and check the electrodes' contact.",
  identical: "These leads are copies; check how the file was made.",
  no_ecg: "Check that the file holds an ECG and the electrodes are connected; ventricular fibrillation looks so, too.",
  noise: "Muscle tension or mains interference: let the patient relax, and check cables.",
};

/** What to do about a finding of the quality check. */
export const remedy = (code) => REMEDY[code] ?? "";
