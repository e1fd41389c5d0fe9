// One ECG on paper: the drawing, its zoom, the callipers above it and the heat below it.

import { CalliperLayer, placed } from "./callipers.js";
import { calliperList } from "./callist.js";
import { button, el } from "./dom.js";
import { listed, number, short } from "./format.js";
import { paintHeat } from "./heat.js";
import { askScreenSize, gridControl, look, lookControls, millimetre } from "./look.js";
import { cutOff, drawSheet } from "./paper.js";
import { CHOICES, secondsOf, Sheet, unitOf } from "./sheet.js";

const TRACE = 0.25; // mm, as on paper
const THINNEST = 1.1; // px; below, a line on a screen fades
const DENSEST = 2.2; // px a millimetre; below, the thin lines of the grid would run together
const PAGE = 10; // s on one sheet

/** The sheet of a recording as the settings want it. */
export function sheetOf(item, more = {}) {
  const unit = unitOf(item.signal);
  const gain = CHOICES.gain[unit].includes(look.gain[unit]) ? look.gain[unit] : undefined;
  const { layout, order, speed } = look;
  return new Sheet(item.signal, { layout, order, speed, gain, start: item.start ?? 0, ...more });
}

/** The settings of the drawing as a row of controls; `now()` is the zoom of what they steer. */
export const toolbar = (unit, now) =>
  el("div", { class: "toolbar", role: "group", "aria-label": "Drawing" }, lookControls(unit, now));

/** A figure that shows one recording; `controls` false leaves the settings to another. */
export class Viewer {
  constructor(item, { controls = true } = {}) {
    this.item = item;
    this.layer = new CalliperLayer({
      changed: (calliper, what) => this.#calliper(calliper, what),
      leave: () => this.adders[0].focus(),
    });
    this.paper = el("div", { class: "paper" });
    this.scroll = el(
      "div",
      { class: "paper-scroll", tabindex: 0, role: "region", "aria-label": `ECG paper of ${item.name}` },
      this.paper,
    );
    this.scroll.addEventListener("keydown", (event) => this.#key(event));
    this.list = el("div", { class: "calliper-list" });
    this.adders = ["time", "amplitude"].map((kind) =>
      button(`+ ${kind[0].toUpperCase()}${kind.slice(1)}`, () => this.add(kind), {
        title: `Add a calliper for ${kind}`,
      }),
    );
    this.legend = el("div", { class: "legend" });
    this.scale = el("p", { class: "scale-note" });
    this.controls = controls ? toolbar(unitOf(item.signal), () => this.pxPerMm / millimetre().px) : null;
    const tools = el(
      "div",
      { class: "measure", role: "group", "aria-label": "Callipers" },
      el("span", { class: "label" }, "Callipers"),
      this.adders,
      this.list,
    );
    this.node = el(
      "figure",
      { class: "viewer" },
      this.controls,
      this.legend,
      this.scroll,
      el(
        "div",
        { class: "below" },
        tools,
        this.#pages(),
        el("div", { class: "paper-notes" }, this.scale, gridControl()),
      ),
    );
    this.draw = this.draw.bind(this);
    this.size = this.size.bind(this);
    look.addEventListener("change", this.draw);
    look.addEventListener("zoom", this.size);
    this.watch = new ResizeObserver(() => look.zoom === "fit" && this.size());
    this.watch.observe(this.scroll);
    this.draw();
  }

  /** Let go of what it listens to; call when it leaves the page. */
  close() {
    look.removeEventListener("change", this.draw);
    look.removeEventListener("zoom", this.size);
    this.watch.disconnect();
  }

  get pxPerMm() {
    if (look.zoom !== "fit") return millimetre().px * look.zoom;
    return Math.max(0.5, (this.scroll.clientWidth || 600) / this.sheet.width);
  }

  draw() {
    const { item } = this;
    this.sheet = sheetOf(item);
    this.picture = drawSheet(this.sheet, { heading: item.name, who: item.who, peaks: item.peaks, marks: look.peaks });
    this.paper.replaceChildren(this.picture, this.layer.node);
    this.layer.draw(this.sheet, item.callipers, item.peaks);
    this.heat();
    this.#listCallipers();
    this.size();
  }

  /** Draw, or take away, where an answer comes from. */
  heat() {
    this.legend.replaceChildren(...paintHeat(this.picture, this.sheet, this.item.heat));
  }

  size() {
    const px = this.pxPerMm;
    for (const node of [this.picture, this.layer.node]) {
      node.style.width = `${this.sheet.width * px}px`;
      node.style.height = `${this.sheet.height * px}px`;
    }
    this.paper.style.width = `${this.sheet.width * px}px`;
    this.picture.querySelector(".ecg-trace").setAttribute("stroke-width", Math.max(THINNEST, TRACE * px));
    this.picture.querySelector(".ecg-thin").toggleAttribute("hidden", px < DENSEST);
    this.layer.place(px);
    this.controls?.querySelector(".zoom")?.tell();
    this.#tellScale();
  }

  add(kind) {
    const middle = this.scroll.scrollLeft + this.scroll.clientWidth / 2;
    const centre = this.sheet.time(middle / this.pxPerMm);
    const calliper = placed(kind, this.sheet, this.item.peaks, centre);
    this.item.callipers.push(calliper);
    this.layer.draw(this.sheet, this.item.callipers, this.item.peaks);
    this.#listCallipers();
    this.layer.focus(calliper);
  }

  #calliper(calliper, what) {
    if (what === "selected") return;
    if (what === "removed") {
      this.item.callipers = this.item.callipers.filter((one) => one !== calliper);
      this.layer.draw(this.sheet, this.item.callipers, this.item.peaks);
      this.adders[0].focus();
    }
    this.#listCallipers();
  }

  #listCallipers() {
    calliperList(this.list, this.item, this.sheet, {
      changed: () => {
        this.layer.place();
        this.#listCallipers();
      },
      removed: (calliper) => this.#calliper(calliper, "removed"),
    });
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const now = this.pxPerMm / millimetre().px;
    const acts = {
      "+": () => look.step(1, now),
      "=": () => look.step(1, now),
      "-": () => look.step(-1, now),
      1: () => look.setZoom(1),
      0: () => look.setZoom("fit"),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  }

  /** Earlier and later, of a recording that is longer than a sheet. */
  #pages() {
    const all = secondsOf(this.item.signal);
    if (all <= PAGE + 0.05) return null;
    const shown = el("output", {});
    const latest = all - PAGE;
    const go = (by) => {
      this.item.start = Math.min(latest, Math.max(0, (this.item.start ?? 0) + by));
      this.draw();
      tell();
    };
    const tell = () => {
      const start = this.item.start ?? 0;
      shown.textContent = `${short(start)} to ${short(start + PAGE)} s of ${short(all)} s`;
    };
    tell();
    const group = { class: "pages", role: "group", "aria-label": "Part of the recording" };
    return el(
      "div",
      group,
      button("◂ Earlier", () => go(-PAGE / 2)),
      shown,
      button("Later ▸", () => go(PAGE / 2)),
    );
  }

  #tellScale() {
    const { px, state } = millimetre();
    const message = {
      nominal: "Size on this screen: nominal (96 px an inch).",
      calibrated: `Size on this screen: true scale, ${number(px, 2)} px a millimetre.`,
      changed: "Screen or browser zoom has changed since the calibration: size is nominal.",
    };
    const leads = (which) =>
      listed(this.sheet.segments.filter((segment) => !segment.strip && which(segment)).map((segment) => segment.lead));
    const gone = leads((segment) => !segment.present);
    // Columns go on in time, so a short recording ends before the later ones begin.
    const late = leads((segment) => segment.present && segment.last <= segment.first);
    const cut = listed(cutOff(this.sheet));
    const notes = [
      cut ? ` ${cut} cut off at the edge of the paper: choose fewer mm/${this.sheet.unit}.` : "",
      gone ? ` Not recorded: ${gone}.` : "",
      late ? ` The recording ends before ${late} are reached; the layout 12 × 1 shows them.` : "",
    ];
    this.scale.replaceChildren(
      message[state],
      ...notes,
      " ",
      button("Calibrate by a bank card", askScreenSize, { class: "link" }),
    );
  }
}
