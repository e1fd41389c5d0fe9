// A recording's samples as the page draws them.

/** The service's signal block in mV (or SD): Float32Array by lead, NaN where samples are missing. */
export function decode(block) {
  const factor = block.unit === "uV" ? 0.001 : 1;
  const leads = {};
  for (const [lead, samples] of Object.entries(block.leads)) {
    leads[lead] = Float32Array.from(samples, (value) => (value === null ? NaN : value * factor));
  }
  return { rate: block.rate, unit: block.unit === "SD" ? "SD" : "mV", leads, derived: block.derived ?? [] };
}

/** The samples as CSV in the form that `enecg` reads. */
export function asCsv(signal) {
  const names = Object.keys(signal.leads);
  const length = signal.leads[names[0]].length;
  const lines = [`# rate: ${signal.rate}`, `# unit: ${signal.unit === "mV" ? "mV" : "unitless"}`, names.join(",")];
  for (let i = 0; i < length; i++) {
    lines.push(
      names.map((lead) => (Number.isNaN(signal.leads[lead][i]) ? "" : signal.leads[lead][i].toFixed(3))).join(","),
    );
  }
  return `${lines.join("\n")}\n`;
}

/** Lowest and highest sample of each lead. */
export function ranges(signal) {
  return Object.entries(signal.leads).map(([lead, samples]) => {
    let low = Infinity;
    let high = -Infinity;
    for (const value of samples) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return { lead, low, high };
  });
}

/** Median beat of each lead around the R peaks: samples from `before` to `after` seconds, null with under 3 beats. */
export function medianBeats(signal, peaks, before = 0.25, after = 0.5) {
  const [ahead, behind] = [Math.round(before * signal.rate), Math.round(after * signal.rate)];
  const found = {};
  for (const [lead, samples] of Object.entries(signal.leads)) {
    const starts = peaks.map((peak) => Math.round(peak * signal.rate) - ahead);
    const whole = starts.filter((start) => start >= 0 && start + ahead + behind < samples.length);
    if (whole.length < 3) return null;
    found[lead] = Float32Array.from({ length: ahead + behind }, (_, i) =>
      median(whole.map((start) => samples[start + i])),
    );
  }
  return found;
}

function median(values) {
  const known = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  const middle = known.length >> 1;
  return known.length % 2 ? known[middle] : (known[middle - 1] + known[middle]) / 2;
}
