// Callipers on the paper: drawn on a layer of their own above the ECG, moved by pointer or by keyboard.
// Each is kept as {kind, lead, strip, from, to, at}: a time calliper spans seconds and hangs at `at` mV, an amplitude
// calliper spans mV and stands at `at` seconds. Zoom, speed and layout never touch these numbers.

import { say, svg } from "./dom.js";
import { reading } from "./measure.js";

const TARGET = 26; // px that a finger can hit
const MV_STEP = 0.01;
const PARTS = { time: ["left edge", "right edge", "crossbar"], amplitude: ["lower edge", "upper edge", "crossbar"] };

/** A calliper at a useful place: over one RR interval, or from the baseline to the R peak, of the lead at hand. */
export function placed(kind, sheet, peaks, centre) {
  const segment = sheet.segments.find((one) => one.strip) ?? sheet.segments.find((one) => one.lead === "II");
  const inside = (time) => time >= segment.from && time < segment.to;
  const near = [...peaks].filter(inside).sort((a, b) => Math.abs(a - centre) - Math.abs(b - centre));
  const base = { kind, lead: segment.lead, strip: segment.strip, intervals: 1, march: false, name: "" };
  if (kind === "time") {
    const [first, second] = near.slice(0, 2).sort((a, b) => a - b);
    const from = first ?? Math.min(Math.max(centre, segment.from), segment.until - 0.4);
    const to = second ?? Math.min(from + 0.4, segment.until);
    return { ...base, from, to, at: 12 / sheet.gain };
  }
  const at = near[0] ?? Math.min(Math.max(centre, segment.from), segment.to);
  const samples = sheet.signal.leads[segment.lead];
  const height = samples ? samples[Math.round(at * sheet.signal.rate)] : NaN;
  return { ...base, from: 0, to: Number.isFinite(height) && Math.abs(height) > 0.02 ? height : 10 / sheet.gain, at };
}

/** The layer: `node` is an SVG of the sheet's size; `changed` is called with a calliper that was moved or removed. */
export class CalliperLayer {
  constructor({ changed, leave }) {
    this.node = svg("svg", { class: "callipers", role: "group", "aria-label": "Callipers on the paper" });
    this.changed = changed;
    this.leave = leave;
    this.pxPerMm = 96 / 25.4;
    this.drawn = [];
  }

  /** Draw callipers anew on a sheet. */
  draw(sheet, callipers, peaks) {
    Object.assign(this, { sheet, peaks });
    this.node.setAttribute("viewBox", `0 0 ${sheet.width} ${sheet.height}`);
    this.drawn = callipers.map((calliper, i) => new Drawn(this, calliper, i + 1));
    this.node.replaceChildren(...this.drawn.map((one) => one.node));
    this.place();
  }

  /** Put all where they belong; `pxPerMm` is how large a millimetre is now, for targets that stay large enough. */
  place(pxPerMm = this.pxPerMm) {
    this.pxPerMm = pxPerMm;
    for (const one of this.drawn) one.place();
  }

  /** Put the focus on a calliper's last handle, which moves it as a whole. */
  focus(calliper) {
    this.drawn.find((one) => one.calliper === calliper)?.handles[2].node.focus();
  }

  /** Millimetres of paper under a pointer. */
  point(event) {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.node.getScreenCTM().inverse());
    return { x, y };
  }
}

class Drawn {
  constructor(layer, calliper, number) {
    Object.assign(this, { layer, calliper, number });
    this.lines = svg("path", { class: "calliper-march" });
    this.text = svg("text", { class: "calliper-text", "aria-hidden": "true" });
    this.back = svg("rect", { class: "calliper-back", rx: 0.8 });
    this.handles = PARTS[calliper.kind].map((part, i) => this.#handle(part, i));
    const [first, second, bar] = this.handles.map((handle) => handle.node);
    bar.append(this.back, this.text); // the label moves the whole too, also where the edges leave no room between them
    this.node = svg("g", { class: `calliper ${calliper.kind}` }, this.lines, bar, first, second);
  }

  get segment() {
    const { kind, lead, strip, from, to, at } = this.calliper;
    const [a, b] = kind === "time" ? [Math.min(from, to), Math.max(from, to)] : [at, at];
    return this.layer.sheet.find(lead, a, b, strip);
  }

  #handle(part, which) {
    const across = (this.calliper.kind === "time") === which < 2;
    const node = svg("g", {
      class: `handle ${across ? "across" : "along"}`,
      role: "slider",
      tabindex: 0,
      "aria-label": `Calliper ${this.number} (${this.calliper.kind}), ${part}`,
      "aria-orientation": this.calliper.kind === "time" ? "horizontal" : "vertical",
    });
    const handle = { node, hit: svg("rect", { class: "hit" }), line: svg("path", { class: "line" }) };
    node.append(handle.line, handle.hit);
    node.addEventListener("keydown", (event) => this.#key(event, which));
    node.addEventListener("pointerdown", (event) => this.#grab(event, which));
    node.addEventListener("focus", () => this.layer.changed(this.calliper, "selected"));
    return handle;
  }

  place() {
    const { sheet, pxPerMm } = this.layer;
    const segment = this.segment;
    this.node.toggleAttribute("hidden", !segment);
    if (!segment) return;
    const boxes =
      this.calliper.kind === "time" ? this.#timeLines(sheet, segment) : this.#amplitudeLines(sheet, segment);
    const reach = TARGET / 2 / pxPerMm;
    this.handles.forEach(({ node, hit, line }, i) => {
      const [x1, y1, x2, y2] = boxes[i];
      line.setAttribute("d", `M${x1} ${y1}L${x2} ${y2}`);
      const [left, right] = [Math.min(x1, x2), Math.max(x1, x2)];
      const [top, bottom] = [Math.min(y1, y2), Math.max(y1, y2)];
      place(hit, left - reach, top - reach, right - left + 2 * reach, bottom - top + 2 * reach);
      this.#tell(node, i, segment);
    });
    this.#label(boxes[2], pxPerMm);
  }

  #timeLines(sheet, segment) {
    const [from, to] = [sheet.x(this.calliper.from), sheet.x(this.calliper.to)];
    const bar = sheet.y(segment, segment.inverted ? -this.calliper.at : this.calliper.at);
    const [top, bottom] = [Math.min(bar - 2, segment.y - 6), Math.max(bar + 2, segment.y + 8)];
    const step = Math.abs(to - from) / (this.calliper.intervals || 1);
    this.lines.setAttribute("d", this.calliper.march && step > 0.5 ? this.#march(sheet, from, step, top, bottom) : "");
    return [
      [from, top, from, bottom],
      [to, top, to, bottom],
      [from, bar, to, bar],
    ];
  }

  /** The interval repeated to both sides, to the edges of the recording on the sheet. */
  #march(sheet, from, step, top, bottom) {
    const [left, right] = [sheet.x(sheet.start), sheet.x(sheet.end)];
    const lines = [];
    for (let x = from - Math.floor((from - left) / step) * step; x <= right; x += step)
      lines.push(`M${x} ${top}V${bottom}`);
    return lines.join("");
  }

  #amplitudeLines(sheet, segment) {
    const x = sheet.x(this.calliper.at);
    const [from, to] = [sheet.y(segment, this.calliper.from), sheet.y(segment, this.calliper.to)];
    this.lines.setAttribute("d", "");
    return [
      [x - 6, from, x + 6, from],
      [x - 6, to, x + 6, to],
      [x, from, x, to],
    ];
  }

  #label([x1, y1, x2, y2], pxPerMm) {
    const size = Math.max(3.2, 12 / pxPerMm); // never smaller than 12 px on a screen
    const text = [this.calliper.name, reading(this.calliper, this.layer.sheet.unit)].filter(Boolean).join(" ");
    const wide = text.length * size * 0.56 + 2;
    const time = this.calliper.kind === "time";
    const middle = time ? (x1 + x2) / 2 : x1 + 8 + wide / 2;
    const x = Math.min(Math.max(middle, wide / 2 + 0.5), this.layer.sheet.width - wide / 2 - 0.5);
    const y = time ? Math.min(y1, y2) - size * 0.55 : (y1 + y2) / 2 + size * 0.35;
    this.text.textContent = text;
    for (const [key, value] of Object.entries({ x, y, "font-size": size })) this.text.setAttribute(key, value);
    place(this.back, x - wide / 2, y - size, wide, size * 1.3);
  }

  #tell(node, which, segment) {
    const { from, to, at, kind } = this.calliper;
    const { sheet } = this.layer;
    const time = kind === "time";
    const now = [from, to, (from + to) / 2][which];
    const [low, high] = time ? [segment.from, segment.until] : [-50, 50];
    const where = time ? `${((which === 1 ? to : from) * 1000).toFixed(0)} ms` : `${now.toFixed(2)} ${sheet.unit}`;
    const place =
      which === 2 ? `lead ${this.calliper.lead}, ${time ? from.toFixed(2) : at.toFixed(2)} s` : `at ${where}`;
    node.setAttribute("aria-valuemin", low);
    node.setAttribute("aria-valuemax", high);
    node.setAttribute("aria-valuenow", Math.min(high, Math.max(low, now)));
    node.setAttribute("aria-valuetext", `${reading(this.calliper, sheet.unit)}, ${place}`);
  }

  #key(event, which) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Delete" || event.key === "Backspace") this.layer.changed(this.calliper, "removed");
    else if (event.key === "Escape") this.layer.leave();
    else if (!this.#step(event, which)) return;
    else this.#moved();
    event.preventDefault();
    event.stopPropagation();
  }

  /** Arrows: one sample, or 0.01 mV; with Shift 5 mm of paper; Page Up and Down: the next R peak. */
  #step(event, which) {
    const { sheet } = this.layer;
    const time = this.calliper.kind === "time";
    const sideways = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const up = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    const seconds = event.shiftKey ? 5 / sheet.speed : 1 / sheet.signal.rate;
    const height = event.shiftKey ? 5 / sheet.gain : MV_STEP;
    const page = { PageUp: 1, PageDown: -1 }[event.key];
    if (page && time) this.#toPeak(which, page);
    else if (sideways && time) this.#shift(which, sideways * seconds);
    else if (sideways) this.#beside(sideways * seconds);
    else if (up && !time) this.#shift(which, up * height);
    else if (up && which === 2) this.calliper.at += up * height;
    else return false;
    return true;
  }

  #toPeak(which, way) {
    const here = which === 1 ? this.calliper.to : this.calliper.from;
    const ahead = this.layer.peaks.filter((peak) => (way > 0 ? peak > here + 1e-6 : peak < here - 1e-6));
    const target = way > 0 ? ahead[0] : ahead.at(-1);
    if (target !== undefined) this.#shift(which, target - here);
  }

  /** Move one edge, or both, by seconds or mV; a time calliper stays on its segment. */
  #shift(which, by) {
    const { kind, from, to } = this.calliper;
    const [low, high] = kind === "time" ? [this.segment.from, this.segment.until] : [-50, 50];
    const clamp = (value) => Math.min(high, Math.max(low, value));
    if (which === 2) {
      const least = low - Math.min(from, to);
      const most = high - Math.max(from, to);
      const step = Math.min(most, Math.max(least, by));
      Object.assign(this.calliper, { from: from + step, to: to + step });
    } else this.calliper[which === 1 ? "to" : "from"] = clamp((which === 1 ? to : from) + by);
  }

  /** Move an amplitude calliper in time, on its segment. */
  #beside(seconds) {
    const { from, until } = this.segment;
    this.calliper.at = Math.min(until, Math.max(from, this.calliper.at + seconds));
  }

  #grab(event, which) {
    if (event.button !== 0) return;
    event.preventDefault();
    event.stopPropagation();
    const { node } = this.handles[which];
    node.focus();
    node.setPointerCapture(event.pointerId);
    let last = this.layer.point(event);
    const move = (next) => {
      const here = this.layer.point(next);
      this.#drag(which, here, here.x - last.x, here.y - last.y);
      last = here;
      this.#moved();
    };
    const drop = () => {
      node.removeEventListener("pointermove", move);
      for (const end of ["pointerup", "pointercancel"]) node.removeEventListener(end, drop);
    };
    node.addEventListener("pointermove", move);
    for (const end of ["pointerup", "pointercancel"]) node.addEventListener(end, drop);
  }

  #drag(which, here, dx, dy) {
    const { sheet } = this.layer;
    const seconds = dx / sheet.speed;
    const up = -dy / sheet.gain;
    if (which === 2) this.#rehang(sheet.at(here.x, here.y));
    const sign = this.segment.inverted ? -1 : 1;
    if (this.calliper.kind === "time") {
      this.#shift(which, seconds);
      if (which === 2) this.calliper.at += up;
    } else {
      this.#shift(which, sign * up);
      if (which === 2) this.#beside(seconds);
    }
  }

  /** Hang the whole calliper on the lead under the pointer, where that lead has room for it at its time. */
  #rehang(target) {
    const { kind, from, to, at } = this.calliper;
    const now = this.segment;
    if (!target || target === now) return;
    const [low, high] = kind === "time" ? [Math.min(from, to), Math.max(from, to)] : [at, at];
    if (high - low > target.until - target.from) return;
    const fits = Math.max(target.from, Math.min(target.until - (high - low), low)) - low;
    const shift = (target.y - now.y) / this.layer.sheet.gain; // the pointer carries the height along
    Object.assign(this.calliper, { lead: target.lead, strip: target.strip });
    if (kind === "time") Object.assign(this.calliper, { from: from + fits, to: to + fits, at: at + shift });
    else {
      const carried = (value) => (target.inverted ? -1 : 1) * (shift + (now.inverted ? -value : value));
      Object.assign(this.calliper, { at: at + fits, from: carried(from), to: carried(to) });
    }
  }

  #moved() {
    this.place();
    this.layer.changed(this.calliper, "moved");
    say(reading(this.calliper, this.layer.sheet.unit));
  }
}

function place(rect, x, y, width, height) {
  for (const [key, value] of Object.entries({ x, y, width, height })) rect.setAttribute(key, value);
}
