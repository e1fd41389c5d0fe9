// All recordings of the session as a table: one row each, none left out, sorted and filtered.

import { button, el, field, select } from "./dom.js";
import { saveTable } from "./downloads.js";
import { count, short, title } from "./format.js";
import { records } from "./records.js";
import { certainty, headline } from "./wording.js";

const STATES = {
  waiting: "not answered yet",
  answered: "answered",
  refused: "not interpreted",
  unreadable: "not readable",
};
const view = { sort: "name", down: false, text: "", state: "" }; // kept while the page lives

/** Draw the table; `open` shows a recording, `answer` asks for several, `busy` is shown while answers are coming. */
export function showTable(host, { open, busy, answer }) {
  const heading = el("h1", { tabindex: -1 }, "Recordings");
  const body = el("div", {});
  const filter = el("input", {
    type: "search",
    value: view.text,
    placeholder: "name or answer",
    on: { input: () => set({ text: filter.value }) },
  });
  const waiting = records.items.filter((item) => item.state === "waiting");
  const states = [["", "all"], ...Object.entries(STATES)];
  const set = (values) => {
    Object.assign(view, values);
    draw();
  };
  const draw = () => {
    const focused = document.activeElement?.dataset?.sort;
    body.replaceChildren(...content(set, open));
    if (focused) body.querySelector(`[data-sort="${focused}"]`)?.focus();
  };
  const tools = el(
    "div",
    { class: "toolbar", role: "group", "aria-label": "What is shown" },
    field("Filter", filter),
    select("State", states, view.state, (state) => set({ state })),
    button("Table as CSV", () => saveTable("enecg-table.csv", rowsOf(shown()))),
    waiting.length && !busy ? button("Answer the rest", () => answer(waiting), { class: "primary" }) : null,
  );
  host.replaceChildren(el("div", { class: "view-head" }, heading), ...(busy ? [busy] : []), tools, body);
  draw();
  return { heading, close: () => {}, refresh: draw };
}

const tasksOf = () => [...new Set(records.items.flatMap((item) => Object.keys(item.answer?.tasks ?? {})))];

/** What stands in a column of a row, and what it is sorted by. */
function cell(item, column) {
  const answer = item.answer?.tasks[column.task];
  if (column.task) {
    if (!answer) return { text: "", key: null };
    const sure = certainty(answer);
    return {
      text: headline(column.task, answer),
      small: sure,
      key: answer.kind === "regression" ? answer.value : headline(column.task, answer),
    };
  }
  return column.cell(item);
}

const FIXED = [
  { id: "name", text: "Recording", cell: (item) => ({ text: item.path ?? item.name, key: item.path ?? item.name }) },
  {
    id: "state",
    text: "State",
    cell: (item) => ({ text: STATES[item.state], small: reasonOf(item), key: STATES[item.state] }),
  },
];
const LAST = [
  {
    id: "quality",
    text: "Quality notes",
    cell: (item) => ({
      text: item.answer ? String(item.answer.quality.length) : "",
      key: item.answer?.quality.length ?? null,
    }),
  },
  {
    id: "notes",
    text: "Left out",
    cell: (item) => ({ text: item.answer?.notes.join("; ") ?? "", key: item.answer?.notes.join("; ") || null }),
  },
  {
    id: "format",
    text: "Format",
    cell: (item) => ({ text: item.answer?.recording.format ?? "", key: item.answer?.recording.format ?? null }),
  },
  {
    id: "seconds",
    text: "Seconds",
    cell: (item) => ({
      text: item.answer ? short(item.answer.recording.seconds) : "",
      key: item.answer?.recording.seconds ?? null,
    }),
  },
];
const columns = () => [
  ...FIXED,
  ...tasksOf().map((task) => ({ id: `task-${task}`, text: title(task), task })),
  ...LAST,
];

/** Why there is no answer, from the file or the quality check. */
function reasonOf(item) {
  if (item.state === "unreadable") return item.reason;
  if (item.state === "refused")
    return item.answer.quality
      .filter((finding) => finding.fatal)
      .map((finding) => finding.text)
      .join("; ");
  return "";
}

function shown() {
  const all = columns();
  const column = all.find((one) => one.id === view.sort) ?? all[0];
  const text = view.text.trim().toLowerCase();
  const matches = (item) =>
    !text || all.some((one) => `${cell(item, one).text} ${cell(item, one).small ?? ""}`.toLowerCase().includes(text));
  const found = records.items.filter((item) => (!view.state || item.state === view.state) && matches(item));
  const compare = (a, b) => {
    const [x, y] = [cell(a, column).key, cell(b, column).key];
    if (x === null || y === null) return (x === null) - (y === null); // what is not known stands last, either way
    const order =
      typeof x === "number" && typeof y === "number"
        ? x - y
        : String(x).localeCompare(String(y), undefined, { numeric: true });
    return view.down ? -order : order;
  };
  return found.sort(compare);
}

function content(set, open) {
  if (!records.items.length)
    return [el("p", { class: "soft" }, "No recordings yet. Open a folder, or several files at once.")];
  const found = shown();
  const all = columns();
  const head = all.map((column) => {
    const active = view.sort === column.id;
    const sort = () => set({ sort: column.id, down: active && !view.down });
    const arrow = active ? (view.down ? " ▼" : " ▲") : "";
    return el(
      "th",
      { scope: "col", "aria-sort": active ? (view.down ? "descending" : "ascending") : null },
      button(`${column.text}${arrow}`, sort, { class: "sort", data: { sort: column.id } }),
    );
  });
  const of = records.items.length === found.length ? "" : ` of ${records.items.length}`;
  const totals = Object.entries(STATES)
    .map(([state, text]) => [records.items.filter((item) => item.state === state).length, text])
    .filter(([n]) => n);
  return [
    el(
      "p",
      { role: "status" },
      `${count(found.length, "recording")}${of} shown; ${totals.map(([n, text]) => `${n} ${text}`).join(", ")}.`,
    ),
    el(
      "div",
      { class: "scroll-x", tabindex: 0, role: "region", "aria-label": "Table of recordings" },
      el(
        "table",
        { class: "records" },
        el("thead", {}, el("tr", {}, head)),
        el(
          "tbody",
          {},
          found.map((item) => row(item, all, open)),
        ),
      ),
    ),
  ];
}

function row(item, all, open) {
  const [first, ...rest] = all.map((column) => cell(item, column));
  const cells = rest.map(({ text, small }) => el("td", {}, text, small ? el("small", {}, small) : null));
  return el(
    "tr",
    { class: `is-${item.state}` },
    el(
      "th",
      { scope: "row" },
      button(first.text, () => open(item), { class: "link" }),
    ),
    cells,
  );
}

function rowsOf(items) {
  const all = columns();
  const heads = all.flatMap((column) =>
    column.task || column.id === "state"
      ? [column.text, column.task ? `${column.text}: interval or probability` : "Reason"]
      : [column.text],
  );
  const line = (item) =>
    all.flatMap((column) => {
      const { text, small } = cell(item, column);
      return column.task || column.id === "state" ? [text, small ?? ""] : [text];
    });
  return [heads, ...items.map(line)];
}
