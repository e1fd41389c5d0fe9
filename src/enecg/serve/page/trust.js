// The weight of each expert per task, beside its usual weight.

import { el } from "./dom.js";
import { percent, title } from "./format.js";

/** A table of experts by tasks; `model` says who they are and what weights are usual. */
export function trustTable(item, model) {
  const tasks = Object.entries(item.answer.tasks);
  const names = [...new Set(tasks.flatMap(([, answer]) => Object.keys(answer.weights ?? {})))];
  const total = (name) => tasks.reduce((sum, [, answer]) => sum + (answer.weights?.[name] ?? 0), 0);
  names.sort((a, b) => total(b) - total(a));
  const known = new Map((model?.experts ?? []).map((expert) => [expert.name, expert]));
  return el(
    "div",
    { class: "scroll-x", tabindex: 0, role: "region", "aria-label": "Experts' weights" },
    el(
      "table",
      { class: "trust" },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          el("th", { scope: "col" }, "Expert"),
          tasks.map(([task]) => el("th", { scope: "col" }, title(task))),
        ),
      ),
      el(
        "tbody",
        {},
        names.map((name) => row(name, known.get(name), tasks, model)),
      ),
    ),
  );
}

function row(name, expert, tasks, model) {
  const head = el("th", { scope: "row" }, name, expert?.title ? el("small", {}, expert.title) : null);
  return el(
    "tr",
    {},
    head,
    tasks.map(([task, answer]) => cell(answer.weights?.[name], model?.weights?.[task]?.[name])),
  );
}

function cell(share, usual) {
  if (share === undefined) return el("td", {}, "–");
  const bar = el("span", { class: "share", "aria-hidden": "true" });
  bar.style.width = `${100 * share}%`;
  const apart = usual !== undefined && Math.abs(usual - share) >= 0.02;
  return el(
    "td",
    {},
    el("span", { class: "track", "aria-hidden": "true" }, bar),
    percent(share),
    apart ? el("small", {}, `usually ${percent(usual)}`) : null,
  );
}
