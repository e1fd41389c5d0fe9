// The model card: which tasks, which experts, on what it was trained, and what it is not.

import { el } from "./dom.js";
import { count, NOTICE, percent, title } from "./format.js";

/** Draw the view. */
export function showAbout(host, { model, service }) {
  const heading = el("h1", { tabindex: -1 }, "The model");
  if (!model) {
    host.replaceChildren(heading, el("p", { class: "soft" }, "The service does not say which model it runs."));
    return { heading, close: () => {} };
  }
  const line = (name, value) =>
    value === null || value === undefined || value === "" ? [] : [el("dt", {}, name), el("dd", {}, String(value))];
  const training = Object.entries(model.training ?? {}).filter(([, value]) =>
    ["string", "number"].includes(typeof value),
  );
  host.replaceChildren(
    heading,
    el("p", { class: "notice" }, NOTICE),
    el(
      "section",
      { class: "panel" },
      el("h2", {}, "What answers here"),
      el(
        "dl",
        { class: "plain" },
        line("Bundle", model.bundle),
        line("EnECG", service?.enecg ?? model.enecg),
        training.map(([name, value]) => line(name.replaceAll("_", " "), value)),
      ),
    ),
    el(
      "section",
      { class: "panel" },
      el("h2", {}, "Tasks"),
      scroll(
        "Tasks",
        table(
          ["Task", "Kind", "Unit or classes"],
          model.tasks.map((task) => [title(task.name), task.kind, task.unit || (task.classes ?? []).join(", ")]),
        ),
      ),
    ),
    el(
      "section",
      { class: "panel" },
      el("h2", {}, "Experts"),
      scroll(
        "Experts",
        table(
          ["Expert", "Title", "Licence", "Corpora seen", "Usual share"],
          model.experts.map((expert) => expertRow(expert, model)),
        ),
      ),
    ),
    ...(model.card
      ? [
          el(
            "section",
            { class: "panel" },
            el("h2", {}, "Model card"),
            el("pre", { class: "card-text", tabindex: 0 }, model.card),
          ),
        ]
      : []),
  );
  return { heading, close: () => {} };
}

function expertRow(expert, model) {
  const usual = model.tasks
    .map((task) => [title(task.name), model.weights?.[task.name]?.[expert.name]])
    .filter(([, share]) => share >= 0.005);
  const seen = [...new Set([...(expert.corpora ?? []), ...(expert.label_corpora ?? [])])];
  return [
    expert.name,
    expert.title,
    expert.licence,
    seen.length ? seen.join(", ") : "none",
    usual.map(([task, share]) => `${task} ${percent(share)}`).join(", ") || "–",
  ];
}

const scroll = (label, child) =>
  el("div", { class: "scroll-x", tabindex: 0, role: "region", "aria-label": label }, child);

function table(names, rows) {
  const line = ([first, ...rest]) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, first),
      rest.map((text) => el("td", {}, text)),
    );
  return el(
    "table",
    {},
    el("caption", { class: "visually-hidden" }, count(rows.length, "row")),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        names.map((name) => el("th", { scope: "col" }, name)),
      ),
    ),
    el("tbody", {}, rows.map(line)),
  );
}
