// How ECGs are drawn on this machine: layout, order, speed, gain, zoom and the size of a millimetre on this screen.

import { button, el, freshId, remembered, select } from "./dom.js";
import { number } from "./format.js";
import { CHOICES } from "./sheet.js";

const NOMINAL = 96 / 25.4; // CSS pixels a millimetre, if the screen were as the standard supposes
const ZOOMS = [0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4];
const LABELS = {
  "3x4": "3 × 4 + rhythm",
  "6x2": "6 × 2",
  "12x1": "12 × 1",
  standard: "standard",
  cabrera: "Cabrera",
};
const DEFAULTS = { layout: "3x4", order: "standard", speed: 25, gain: { mV: 10, SD: 2.5 }, peaks: true, grid: "red" };

/** The settings, shared by all drawings; dispatches `change` (draw anew) and `zoom` (only another size). */
class Look extends EventTarget {
  constructor() {
    super();
    Object.assign(this, DEFAULTS, remembered.get("look", {}));
    this.zoom = 1;
    for (const key of ["layout", "order", "speed"]) if (!CHOICES[key].includes(this[key])) this[key] = DEFAULTS[key];
    this.#paint();
  }

  set(values) {
    Object.assign(this, values);
    const { layout, order, speed, gain, peaks, grid } = this;
    remembered.set("look", { layout, order, speed, gain, peaks, grid });
    this.#paint();
    this.dispatchEvent(new Event("change"));
  }

  /** A factor of true scale, or "fit". */
  setZoom(zoom) {
    this.zoom = zoom;
    this.dispatchEvent(new Event("zoom"));
  }

  /** One step larger or smaller than what `now` is. */
  step(way, now) {
    const next = way > 0 ? ZOOMS.find((zoom) => zoom > now * 1.01) : ZOOMS.findLast((zoom) => zoom < now * 0.99);
    if (next) this.setZoom(next);
  }

  #paint() {
    document.documentElement.dataset.grid = this.grid;
  }
}

export const look = new Look();

/** What tells one screen from another as far as a page can see. */
const screenKey = () => `${screen.width}x${screen.height}@${devicePixelRatio}`;

/** Size of a millimetre of paper at true scale: {px, state: "nominal" | "calibrated" | "changed"}. */
export function millimetre() {
  const kept = remembered.get("screen", null);
  if (!kept) return { px: NOMINAL, state: "nominal" };
  return kept.key === screenKey() ? { px: kept.px, state: "calibrated" } : { px: NOMINAL, state: "changed" };
}

/** Keep what the user measured on this screen; null forgets it. */
export function calibrate(px) {
  remembered.set("screen", px === null ? null : { px, key: screenKey() });
  look.setZoom(look.zoom);
}

/** The settings as a row of controls, for a drawing whose samples are in `unit`; `now()` is its zoom. */
export function lookControls(unit, now) {
  const pick = (key, label, text) => {
    const options = CHOICES[key].map((value) => [String(value), text(value)]);
    return select(label, options, String(look[key]), (chosen) =>
      look.set({ [key]: CHOICES[key].find((value) => String(value) === chosen) }),
    );
  };
  const gains = [...CHOICES.gain[unit]].sort((a, b) => a - b).map((value) => [String(value), `${value} mm/${unit}`]);
  return [
    pick("layout", "Layout", (value) => LABELS[value]),
    pick("order", "Order", (value) => LABELS[value]),
    pick("speed", "Speed", (value) => `${value} mm/s`),
    select("Gain", gains, String(look.gain[unit]), (chosen) =>
      look.set({ gain: { ...look.gain, [unit]: Number(chosen) } }),
    ),
    zoomControls(now),
    tick("R peaks", look.peaks, (peaks) => look.set({ peaks })),
  ];
}

/** Whether the grid is grey, for those whom red lines distract. */
export const gridControl = () =>
  tick("Grey grid", look.grid === "grey", (grey) => look.set({ grid: grey ? "grey" : "red" }));

function tick(label, checked, change) {
  const box = el("input", { type: "checkbox", checked, on: { change: (event) => change(event.target.checked) } });
  return el("label", { class: "tick" }, box, label);
}

function zoomControls(now) {
  const shown = el("output", { class: "zoom-now" });
  const tell = () => {
    shown.textContent = `${number(now() * 100)} %`;
  };
  const group = el(
    "div",
    { class: "zoom", role: "group", "aria-label": "Zoom" },
    button("−", () => look.step(-1, now()), { "aria-label": "Zoom out", title: "Zoom out (key −)" }),
    shown,
    button("+", () => look.step(1, now()), { "aria-label": "Zoom in", title: "Zoom in (key +)" }),
    button("1:1", () => look.setZoom(1), { "aria-label": "True scale", title: "True scale (key 1)" }),
    button("Fit", () => look.setZoom("fit"), { title: "The whole width (key 0)" }),
  );
  group.tell = tell;
  return group;
}

/** A dialog in which a rectangle is made as large as a bank card. */
export function askScreenSize() {
  const [WIDE, HIGH] = [85.6, 53.98]; // mm, ISO/IEC 7810 ID-1
  const id = freshId("card");
  const card = el("div", { class: "bank-card", "aria-hidden": "true" }, "bank card");
  const slider = el("input", { type: "range", id, min: 2, max: 12, step: 0.005, value: millimetre().px });
  const message = el("output", {});
  const show = () => {
    const px = Number(slider.value);
    card.style.width = `${px * WIDE}px`;
    card.style.height = `${px * HIGH}px`;
    const text = `${number(px, 2)} px a millimetre, ${number(px / NOMINAL, 2)} times nominal`;
    message.textContent = text;
    slider.setAttribute("aria-valuetext", text);
  };
  slider.addEventListener("input", show);
  const finish = (px) => {
    if (px !== undefined) calibrate(px);
    dialog.close();
  };
  const dialog = el(
    "dialog",
    { class: "dialog", "aria-labelledby": `${id}-title` },
    el("h2", { id: `${id}-title` }, "True scale on this screen"),
    el(
      "p",
      {},
      "No browser knows how large its screen is. Hold a bank card to the rectangle and move the slider until both " +
        "are equally large. Measurements never depend on this.",
    ),
    card,
    el("label", { for: id }, "Size"),
    slider,
    message,
    el(
      "div",
      { class: "actions" },
      button("Use this size", () => finish(Number(slider.value)), { class: "primary" }),
      button("Nominal size", () => finish(null)),
      button("Cancel", () => finish()),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  show();
  dialog.showModal();
}
