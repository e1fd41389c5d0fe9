// A recording drawn on ECG paper as SVG, in millimetres: every sample, no smoothing, no display filter.

import { freshId, svg } from "./dom.js";
import { count, short } from "./format.js";
import { secondsOf, TOP, BOTTOM } from "./sheet.js";

/** Draw a sheet. `heading` and `who` stand above the traces; `peaks` are R peaks in seconds, drawn when `marks`. */
export function drawSheet(sheet, { heading, who = "", peaks = [], marks = false, filter = "no display filter" }) {
  const { width, height } = sheet;
  const [titleId, descId, clipId] = ["ecg-title", "ecg-desc", "ecg-clip"].map(freshId);
  const present = sheet.segments.filter((segment) => segment.present);
  return svg(
    "svg",
    { class: "ecg", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-labelledby": `${titleId} ${descId}` },
    svg("title", { id: titleId }, heading),
    svg("desc", { id: descId }, describe(sheet, peaks)),
    svg("rect", { class: "ecg-paper", width, height }),
    svg("path", { class: "ecg-thin", d: grid(sheet, 1) }),
    svg("path", { class: "ecg-thick", d: grid(sheet, 5) }),
    svg("g", { class: "ecg-heat" }),
    svg("clipPath", { id: clipId }, svg("rect", { y: TOP - 5, width, height: height - TOP })),
    svg(
      "g",
      { class: "ecg-trace", "clip-path": `url(#${clipId})` },
      svg("path", { class: "ecg-pulse", d: pulses(sheet) }),
      present.map((segment) =>
        svg("path", { "data-lead": segment.lead + (segment.strip ? "-strip" : ""), d: trace(sheet, segment) }),
      ),
    ),
    svg("path", { class: "ecg-mark", d: marks ? ticks(sheet, peaks) : "" }),
    svg("g", { class: "ecg-text", "aria-hidden": "true" }, texts(sheet, heading, who, marks && peaks.length, filter)),
  );
}

/** The picture in a sentence, for those who do not see it. */
function describe(sheet, peaks) {
  const shown = new Set(sheet.segments.filter((segment) => segment.present).map((segment) => segment.lead));
  const gone = [...new Set(sheet.segments.map((segment) => segment.lead))].filter((lead) => !shown.has(lead));
  const rr = peaks.length > 2 ? (peaks.at(-1) - peaks[0]) / (peaks.length - 1) : 0;
  return [
    `${count(shown.size, "lead")}, ${short(sheet.end - sheet.start)} s, layout ${sheet.layout}, ${sheet.scale}`,
    gone.length ? `not recorded: ${gone.join(", ")}` : "",
    rr ? `mean heart rate ${Math.round(60 / rr)} per minute by ${count(peaks.length, "R peak")}` : "",
  ]
    .filter(Boolean)
    .join("; ");
}

/** Leads whose trace leaves the paper at its upper or lower edge, where it is cut off. */
export function cutOff(sheet) {
  const [top, bottom] = [TOP - 5, sheet.height - 5];
  const leaves = (segment) => {
    const samples = sheet.signal.leads[segment.lead].subarray(segment.first, segment.last);
    return samples.some((value) => sheet.y(segment, value) < top || sheet.y(segment, value) > bottom);
  };
  return [
    ...new Set(sheet.segments.filter((segment) => segment.present && leaves(segment)).map((segment) => segment.lead)),
  ];
}

function grid(sheet, step) {
  const top = TOP - 5;
  const bottom = sheet.height - BOTTOM + 5;
  const lines = [];
  for (let x = 0; x <= sheet.width; x += step) lines.push(`M${x} ${top}V${bottom}`);
  for (let y = top; y <= bottom; y += step) lines.push(`M0 ${y}H${sheet.width}`);
  return lines.join("");
}

/** 1 mV (or 1 SD) high and 200 ms wide, before every row. */
function pulses(sheet) {
  const wide = 0.2 * sheet.speed;
  const lead = (sheet.left - 3 - wide) / 2;
  const shape = `h${lead}v${-sheet.gain}h${wide}v${sheet.gain}h${lead}`;
  return Array.from({ length: sheet.rows }, (_, row) => `M1.5 ${sheet.zero(row)}${shape}`).join("");
}

/** One path through every sample of a segment, to 0.001 mm; the pen is up where samples are missing. */
function trace(sheet, segment) {
  const samples = sheet.signal.leads[segment.lead];
  const perSample = sheet.speed / sheet.signal.rate;
  const x0 = sheet.x(0);
  const scale = segment.inverted ? -sheet.gain : sheet.gain;
  const parts = [];
  let down = false;
  for (let i = segment.first; i < segment.last; i++) {
    const value = samples[i];
    if (Number.isNaN(value)) {
      down = false;
      continue;
    }
    const alone = !down && !(i + 1 < segment.last && !Number.isNaN(samples[i + 1]));
    parts.push(
      `${down ? "L" : "M"}${round(x0 + i * perSample)} ${round(segment.y - value * scale)}${alone ? "h0" : ""}`,
    );
    down = true;
  }
  return parts.join("");
}

const round = (mm) => Math.round(mm * 1000) / 1000;

/** A short line under every row at each R peak. */
function ticks(sheet, peaks) {
  const lines = [];
  for (const segment of sheet.segments) {
    const below = segment.y + sheet.pitch / 3;
    for (const peak of peaks) {
      if (peak >= segment.from && peak < segment.to) lines.push(`M${round(sheet.x(peak))} ${round(below)}v2.5`);
    }
  }
  return lines.join("");
}

function texts(sheet, heading, who, peaks, filter) {
  const { signal, width, height } = sheet;
  const found = [
    svg("text", { x: 2, y: 4, class: "ecg-heading" }, heading),
    svg("text", { x: width - 2, y: 4, "text-anchor": "end" }, who),
  ];
  for (const segment of sheet.segments) {
    const name = (segment.inverted ? "−" : "") + segment.lead + (segment.present ? "" : " not recorded");
    const up = segment.y - Math.min(sheet.pitch / 3, 10);
    found.push(svg("text", { x: segment.x + 1, y: up, class: segment.present ? "ecg-name" : "ecg-absent" }, name));
    if (segment.from > sheet.start && !segment.strip) {
      found.push(svg("rect", { x: segment.x - 0.1, y: segment.y - 2.5, width: 0.2, height: 5 }));
    }
  }
  const all = secondsOf(signal);
  const part = all > sheet.seconds + 0.05 ? `${short(sheet.start)} to ${short(sheet.end)} s of ${short(all)} s` : "";
  const derived = (signal.derived ?? []).filter((lead) => sheet.segments.some((segment) => segment.lead === lead));
  const message = [
    sheet.scale,
    filter,
    `${short(signal.rate)} Hz`,
    part,
    derived.length ? `computed: ${derived.join(", ")}` : "",
    peaks ? "ticks: R peaks" : "",
  ];
  found.push(svg("text", { x: 2, y: height - 1.5 }, message.filter(Boolean).join(" · ")));
  found.push(svg("text", { x: width - 54, y: height - 1.5, "text-anchor": "end" }, "50 mm at true scale"));
  found.push(svg("rect", { x: width - 52, y: height - 2.5, width: 50, height: 0.5 }));
  return found;
}
