// Where a recording lies on ECG paper: leads in rows and columns, samples in millimetres.
// The same conventions as enecg/drawing/sheet.py: columns go on in time, and everything is in mm of paper, so that
// zoom and the size of the screen change nothing here.

export const TOP = 10; // mm above the traces
export const RIGHT = 5;
export const BOTTOM = 10;

const STANDARD = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];
const CABRERA = ["aVL", "I", "-aVR", "II", "aVF", "III", ...STANDARD.slice(6)];
const ORDERS = { standard: STANDARD, cabrera: CABRERA };
// Rows and columns of leads, mm from row to row on a screen, and on a page of A4 that also bears the answers.
const LAYOUTS = {
  "3x4": { rows: 3, columns: 4, pitch: 30, tight: 30, strip: "II" },
  "6x2": { rows: 6, columns: 2, pitch: 25, tight: 20 },
  "12x1": { rows: 12, columns: 1, pitch: 15, tight: 10 },
};

/** What can be chosen; the first of each is the default. Gains are in mm/mV, or in mm per standard deviation. */
export const CHOICES = {
  layout: ["3x4", "6x2", "12x1"],
  order: ["standard", "cabrera"],
  speed: [25, 50],
  gain: { mV: [10, 5, 20], SD: [2.5, 1, 5] },
};

/** The unit in which a signal's samples are drawn and measured. */
export const unitOf = (signal) => (signal.unit === "SD" ? "SD" : "mV");

/** Seconds that a signal lasts. */
export function secondsOf(signal) {
  const [first] = Object.values(signal.leads);
  return first ? first.length / signal.rate : 0;
}

/** The transform between (lead, seconds, mV) and millimetres of paper, both ways. */
export class Sheet {
  constructor(
    signal,
    { layout = "3x4", order = "standard", speed = 25, gain, start = 0, seconds = 10, tight = false } = {},
  ) {
    const plan = LAYOUTS[layout];
    this.signal = signal;
    this.unit = unitOf(signal);
    Object.assign(this, { layout, order, speed, start, seconds });
    this.gain = gain ?? CHOICES.gain[this.unit][0];
    this.pitch = tight ? plan.tight : plan.pitch;
    this.rows = plan.rows + (plan.strip ? 1 : 0);
    this.left = Math.max(15, 5 * Math.ceil((0.2 * speed + 6) / 5)); // room for the calibration pulse
    this.width = this.left + seconds * speed + RIGHT;
    this.height = TOP + this.rows * this.pitch + 5 + BOTTOM;
    this.end = Math.min(start + seconds, secondsOf(signal));
    this.segments = this.#segments(plan);
  }

  #segments(plan) {
    const long = this.seconds / plan.columns;
    const found = ORDERS[this.order].map((name, i) => {
      const column = Math.floor(i / plan.rows);
      return this.#segment(name, i % plan.rows, this.start + column * long, this.start + (column + 1) * long, false);
    });
    if (plan.strip) found.push(this.#segment(plan.strip, plan.rows, this.start, this.start + this.seconds, true));
    return found;
  }

  #segment(name, row, from, until, strip) {
    const lead = name.replace("-", "");
    const { rate, leads } = this.signal;
    const to = Math.max(from, Math.min(until, this.end));
    return {
      lead,
      strip,
      row,
      inverted: name !== lead, // drawn upside down, as −aVR
      present: lead in leads,
      from,
      to, // where its samples end; `until` is where its place on the paper ends
      until,
      first: Math.round(from * rate),
      last: Math.round(to * rate),
      x: this.x(from),
      y: this.zero(row),
    };
  }

  /** Speed and gain in words. */
  get scale() {
    const normalised = this.unit === "SD" ? " (normalised recording: no millivolt scale)" : "";
    return `${this.speed} mm/s, ${this.gain} mm/${this.unit}${normalised}`;
  }

  /** Mm from the left edge to a time in seconds. */
  x(time) {
    return this.left + (time - this.start) * this.speed;
  }

  /** Mm from the upper edge to the zero line of a row; it lies on a thick line of the grid. */
  zero(row) {
    return TOP + 5 * Math.ceil(this.pitch / 10) + row * this.pitch;
  }

  /** Mm from the upper edge to a value in mV (or SD) on a segment. */
  y(segment, value) {
    return segment.y - (segment.inverted ? -value : value) * this.gain;
  }

  /** Seconds at an x in mm. */
  time(x) {
    return this.start + (x - this.left) / this.speed;
  }

  /** MV (or SD) at a y in mm on a segment. */
  value(segment, y) {
    const up = (segment.y - y) / this.gain;
    return segment.inverted ? -up : up;
  }

  /** The segment whose place on the paper is nearest to a point in mm. */
  at(x, y) {
    const row = Math.min(this.rows - 1, Math.max(0, Math.round((y - this.zero(0)) / this.pitch)));
    const time = this.time(x);
    const here = this.segments.filter((segment) => segment.row === row);
    return here.find((segment) => time < segment.until) ?? here.at(-1);
  }

  /** Where a stretch of a lead is drawn as a whole, on the grid of leads or on the rhythm strip; else undefined. */
  find(lead, from, to = from, strip = false) {
    const holds = (segment) => segment.lead === lead && segment.from <= from + 1e-9 && to <= segment.until + 1e-9;
    const found = this.segments.filter(holds);
    return found.find((segment) => segment.strip === strip) ?? found[0];
  }
}
