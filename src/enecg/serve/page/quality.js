// What the quality check found, and refusals: why there is no answer, and what can be done about it.

import { button, el, field, select } from "./dom.js";
import { FORMATS } from "./format.js";
import { remedy } from "./wording.js";

const UNITS = [
  ["", "as the file states"],
  ["mV", "mV"],
  ["uV", "µV"],
  ["V", "V"],
  ["unitless", "none (normalised)"],
];

/** The findings as a list, fatal ones first, and below them what was left out of the file. */
export function findings(answer) {
  return el("div", {}, found(answer), leftOut(answer));
}

/** What was left out of the file, or could not be used. */
export function leftOut(answer) {
  if (!answer.notes.length) return null;
  return el(
    "ul",
    { class: "left-out", "aria-label": "Left out of the file" },
    answer.notes.map((note) => el("li", {}, `${note[0].toUpperCase()}${note.slice(1)}.`)),
  );
}

function found(answer) {
  const all = [...answer.quality].sort((a, b) => b.fatal - a.fatal);
  if (!all.length)
    return el("p", { class: "clean" }, "Nothing speaks against this recording. Swapped electrodes are not looked for.");
  return el(
    "ul",
    { class: "findings" },
    all.map((finding) =>
      el(
        "li",
        { class: finding.fatal ? "fatal" : "" },
        el("strong", {}, finding.fatal ? "No reading possible: " : "To be considered: "),
        finding.text,
        ". ",
        el("span", { class: "soft" }, remedy(finding.code)),
      ),
    ),
  );
}

/** Why a recording that could be read is not interpreted. */
export function refusal(answer) {
  const fatal = answer.quality.filter((finding) => finding.fatal);
  return el(
    "section",
    { class: "refusal", role: "alert" },
    el("h2", {}, "No answers for this recording"),
    el(
      "p",
      {},
      "It could be read and is drawn below, but it must not be interpreted. A guess would look like a finding.",
    ),
    el(
      "ul",
      {},
      fatal.map((finding) => el("li", {}, el("strong", {}, finding.text), ". ", remedy(finding.code))),
    ),
    leftOut(answer),
  );
}

/** Why a file could not be read; what it does not say can be stated here and tried again. */
export function unreadable(item, { retry, remove }) {
  return el(
    "section",
    { class: "refusal", role: "alert" },
    el("h2", {}, "This file could not be read"),
    el("p", { class: "reason" }, item.reason),
    item.needs.length ? sayMore(item, retry) : null,
    el("p", { class: "soft" }, `Read are ${FORMATS}. Nothing of the file was kept.`),
    item.request ? el("p", { class: "soft" }, "Request ", el("code", {}, item.request)) : null,
    el("div", { class: "actions" }, button("Remove it from the list", remove)),
  );
}

function sayMore(item, retry) {
  const rate = el("input", {
    type: "number",
    min: 1,
    max: 20000,
    step: "any",
    value: item.stated.rate ?? "",
    placeholder: "500",
  });
  let unit = item.stated.unit ?? "";
  const form = el(
    "form",
    { class: "say-more" },
    el("p", {}, "Units are never guessed. If you know what the file does not say, say it here:"),
    field("Sampling rate, Hz", rate),
    select("Amplitude unit", UNITS, unit, (value) => {
      unit = value;
    }),
    el("button", { type: "submit", class: "primary" }, "Read again"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    retry({ rate: rate.value, unit });
  });
  return form;
}
