// The page as a whole: views by the address's hash, what is loaded at the start, and refusals in words.

import { showAbout } from "./about.js";
import { ask, hasToken, json, onToken, Refused, useToken } from "./api.js";
import { showCompare } from "./compare.js";
import { button, byId, el, remembered, say, select } from "./dom.js";
import { count } from "./format.js";
import { listenForDrops, showIntake } from "./intake.js";
import { showRecording } from "./recording.js";
import { records } from "./records.js";
import { showTable } from "./table.js";
import { askToken } from "./token.js";

const VIEWS = { open: "Open", ecg: "Recording", compare: "Compare", table: "Table", model: "Model" };
const state = { model: null, service: null, examples: [], shown: { close: () => {} }, busy: null };

/** Run what may be refused; a refusal is shown at the top of the page. */
async function guarded(act, { signal, failed } = {}) {
  dismiss();
  try {
    return await act();
  } catch (error) {
    failed?.();
    if (signal?.aborted) return undefined;
    if (!(error instanceof Refused)) {
      show("The page has met an error of its own.", String(error));
      throw error;
    }
    show(error.message, error.request ? `Request ${error.request}` : "");
  }
  return undefined;
}

function show(text, small) {
  byId("problem").replaceChildren(el("p", {}, text, small ? el("small", {}, small) : null), button("Dismiss", dismiss));
  byId("problem").hidden = false;
}

function dismiss() {
  byId("problem").hidden = true;
  byId("problem").replaceChildren();
}

const viewNow = () => (location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "open");

/** Draw the view that the address names. */
function draw({ focus = true } = {}) {
  const view = viewNow();
  document.body.dataset.view = view;
  for (const link of document.querySelectorAll(".masthead nav a")) {
    if (link.hash === `#${view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  state.shown.close();
  byId("print").replaceChildren();
  state.shown = DRAW[view](byId("view"));
  document.title = view === "ecg" && records.current ? `${records.current.name} – EnECG` : `${VIEWS[view]} – EnECG`;
  if (focus) state.shown.heading?.focus({ preventScroll: true });
}

const DRAW = {
  open: (host) => showIntake(host, { examples: state.examples, limits: records.limits, take, guarded }),
  ecg: (host) => {
    const item = records.current;
    if (!item) return nothing(host, "No recording is open.");
    if (item.state === "waiting" || (!item.signal && item.state !== "unreadable")) return reading(host, item);
    return showRecording(host, item, { model: state.model, guarded, again });
  },
  compare: (host) => showCompare(host, { load: (items) => load(items), again: () => draw({ focus: false }) }),
  table: (host) => showTable(host, { open: again, busy: state.busy, answer: takeAll }),
  model: (host) => showAbout(host, { model: state.model, service: state.service }),
};

function nothing(host, text) {
  const heading = el("h1", { tabindex: -1 }, text);
  host.replaceChildren(heading, el("p", {}, el("a", { href: "#open" }, "Open an ECG")));
  return { heading, close: () => {} };
}

/** While the service looks at a recording. */
function reading(host, item) {
  const heading = el("h1", { tabindex: -1 }, item.name);
  const status = el("p", { role: "status" }, "Reading the file and asking the experts.");
  host.replaceChildren(heading, status, el("progress", { "aria-label": "Waiting for the answer" }));
  guarded(() => records.open(item, { waiting: (text) => status.replaceChildren(text) }), {
    failed: () => leave(item),
  }).then((opened) => {
    if (opened && records.current === item && viewNow() === "ecg") {
      draw();
      say(
        item.state === "answered"
          ? "The answers are there."
          : "There are no answers for this recording; the reason is shown.",
      );
    }
  });
  return { heading, close: () => {} };
}

/** A recording about which nothing is known, since the service could not be asked, is let go of. */
function leave(item) {
  const unknown = item.state === "waiting";
  if (unknown) records.remove(item);
  location.hash = unknown ? "#open" : "#table";
}

/** Show a recording; without one, the opening view. */
function again(item) {
  if (!item) {
    location.hash = "#open";
    return;
  }
  records.current = item;
  if (viewNow() === "ecg") draw();
  else location.hash = "#ecg";
}

async function load(items) {
  await guarded(async () => {
    for (const item of items) await records.open(item);
  });
  if (viewNow() === "compare" && items.every((item) => item.signal)) draw({ focus: false });
}

/** New recordings: a single one is shown, several are put into the table. */
function take(groups) {
  if (!groups.length) {
    show("There is no recording among these files.", "");
    return;
  }
  const added = records.add(groups);
  if (added.length === 1) again(added[0]);
  else takeAll(added);
}

async function takeAll(items) {
  const stop = new AbortController();
  const bar = el("progress", { value: 0, max: items.length, "aria-label": "Recordings answered" });
  const status = el("span", {}, `0 of ${count(items.length, "recording")}`);
  state.busy = el(
    "div",
    { class: "busy", role: "status" },
    bar,
    status,
    button("Stop", () => stop.abort()),
  );
  if (viewNow() === "table") draw();
  else location.hash = "#table";
  const progress = (done, total) => {
    bar.value = done;
    status.textContent = `${done} of ${count(total, "recording")}`;
  };
  await guarded(
    () => records.openAll(items, { signal: stop.signal, progress, waiting: (text) => status.replaceChildren(text) }),
    { signal: stop.signal },
  );
  records.current ??= items[0];
  state.busy = null;
  if (viewNow() === "table") draw({ focus: false });
  const open = items.filter((item) => item.state === "waiting").length;
  say(open ? `Stopped; ${count(open, "recording")} not answered yet.` : `All ${items.length} are in the table.`);
}

/** What the page needs to know before anything is opened; the examples and the model may be behind a token. */
async function start() {
  state.service = await json("v1/service");
  Object.assign(records.limits, state.service.limits);
  if (state.service.token && !hasToken()) {
    const given = await askToken("");
    if (given !== null) useToken(given);
  }
  const [model, examples] = await Promise.all([json("v1/model"), json("v1/examples")]);
  state.model = model;
  state.examples = examples.examples;
}

function header() {
  const links = Object.entries(VIEWS).map(([view, text]) => el("a", { href: `#${view}` }, text));
  byId("views").replaceChildren(...links);
  const themes = [
    ["", "as the system"],
    ["light", "light"],
    ["dark", "dark"],
  ];
  byId("theme").replaceChildren(
    select("Colours", themes, remembered.get("theme", ""), (theme) => {
      remembered.set("theme", theme);
      dispatchEvent(new Event("enecg-theme"));
    }),
  );
  // A plain link would put its target into the address, where the view stands.
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("view").focus();
  });
}

onToken(askToken);
header();
listenForDrops({ take, guarded });
records.addEventListener("change", () => viewNow() === "table" && state.shown.refresh?.());
addEventListener("hashchange", () => draw());
addEventListener("beforeprint", () => state.shown.layPage?.());
draw({ focus: false });
guarded(start).then(() => draw({ focus: false }));
