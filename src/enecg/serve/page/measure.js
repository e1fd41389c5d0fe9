// What callipers read: intervals, rates and amplitudes, kept in seconds and millivolts and never in pixels.

import { number } from "./format.js";

/** Beats a minute of an interval in ms. */
export const rate = (ms) => 60000 / ms;

/** QT for a heart rate of 60 a minute by four formulas; arguments and results in ms. */
export function corrected(qt, rr) {
  const s = rr / 1000;
  return {
    fridericia: qt / Math.cbrt(s),
    bazett: qt / Math.sqrt(s),
    framingham: qt + 154 * (1 - s),
    hodges: qt + 1.75 * (rate(rr) - 60),
  };
}

/** Mean RR interval in ms of R peaks in seconds; NaN of fewer than two. */
export const meanRr = (peaks) => (peaks.length < 2 ? NaN : ((peaks.at(-1) - peaks[0]) * 1000) / (peaks.length - 1));

/** One calliper's interval in ms, for each of the intervals that it spans. */
export const interval = (calliper) => (Math.abs(calliper.to - calliper.from) * 1000) / (calliper.intervals || 1);

/** What one calliper reads: `861 ms · 69.7 bpm`, `1.24 mV`. */
export function reading(calliper, unit) {
  if (calliper.kind === "amplitude") return `${number(Math.abs(calliper.to - calliper.from), 2)} ${unit}`;
  const ms = interval(calliper);
  const bpm = ms > 0 ? `${number(rate(ms), rate(ms) < 100 ? 1 : 0)} bpm` : "– bpm";
  if (!(calliper.intervals > 1)) return `${number(ms)} ms · ${bpm}`;
  return `${number(ms * calliper.intervals)} ms over ${calliper.intervals} intervals: ${number(ms)} ms · ${bpm}`;
}

/** QTc of the callipers that are called QT and RR, with the RR that was used; null without a QT. */
export function correctedOf(callipers, peaks) {
  const qt = callipers.find((calliper) => calliper.name === "QT");
  if (!qt) return null;
  const measured = callipers.find((calliper) => calliper.name === "RR");
  const rr = measured ? interval(measured) : meanRr(peaks);
  if (!(rr > 0)) return { qt: interval(qt), rr: NaN, source: "no RR is known: name a time calliper RR" };
  const source = measured ? "RR by calliper" : "mean RR of the R peaks";
  return { qt: interval(qt), rr, source, ...corrected(interval(qt), rr) };
}
