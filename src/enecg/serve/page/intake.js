// Where recordings come in: a drop anywhere on the page, the file and folder fields, and generated examples.

import { ask } from "./api.js";
import { button, el } from "./dom.js";
import { dropped, grouped } from "./files.js";
import { count, FORMATS } from "./format.js";

/** The opening view; `take` gets groups of files. */
export function showIntake(host, { examples, limits, take, guarded }) {
  const heading = el("h1", { tabindex: -1 }, "Open an ECG");
  const picker = (props, text) => {
    const input = el("input", { type: "file", multiple: true, class: "visually-hidden", ...props });
    input.addEventListener("change", () => {
      const groups = grouped([...input.files]);
      input.value = "";
      take(groups);
    });
    return el("label", { class: "pick" }, input, el("span", {}, text));
  };
  const zone = el(
    "section",
    { class: "drop", "aria-label": "Files" },
    el("p", { class: "drop-title" }, "Drop one or several recordings here"),
    el("p", { class: "soft" }, FORMATS),
    el("div", { class: "actions" }, picker({}, "Choose files"), picker({ webkitdirectory: true }, "Choose a folder")),
    el(
      "p",
      { class: "soft small" },
      `At most ${count(limits.files, "file")} and ${limits.bytes >> 20} MB at once; a folder is sent in parts. `,
      "Files go to this service only; it keeps nothing.",
    ),
  );
  const cards = examples.map((example) =>
    el(
      "li",
      {},
      el("h3", {}, example.title),
      el("p", {}, example.text),
      button("Open", () => guarded(() => fetchExample(example).then(take)), { "aria-label": `Open ${example.title}` }),
    ),
  );
  host.replaceChildren(
    heading,
    zone,
    cards.length
      ? el(
          "section",
          { class: "examples" },
          el("h2", {}, "Or an example"),
          el("p", { class: "soft" }, "Computed by a model of the heart. No patient's data."),
          el("ul", {}, cards),
        )
      : "",
  );
  return { heading, close: () => {} };
}

async function fetchExample(example) {
  const files = [];
  for (const { name, url } of example.files) {
    files.push(new File([await (await ask(url)).blob()], name));
  }
  return grouped(files).map((group) => ({ ...group, generated: true }));
}

/** Let files be dropped anywhere on the page. */
export function listenForDrops({ take, guarded }) {
  let depth = 0; // enter and leave come for every element below the pointer
  const mark = (by) => {
    depth = Math.max(0, by ? depth + by : 0);
    document.body.classList.toggle("dropping", depth > 0);
  };
  const withFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => withFiles(event) && mark(1));
  addEventListener("dragleave", (event) => withFiles(event) && mark(-1));
  addEventListener("dragover", (event) => withFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!withFiles(event)) return;
    event.preventDefault();
    mark(0);
    guarded(async () => take(grouped(await dropped(event.dataTransfer))));
  });
}
