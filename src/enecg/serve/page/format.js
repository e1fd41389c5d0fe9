// Numbers and names as people read them.

export const NOTICE = "Research use only. Not a medical device.";

/** What the service reads. */
export const FORMATS = "WFDB (header and signal file together), DICOM, GE MUSE XML, Philips XML, EDF and CSV";

const TITLES = {
  rr_interval: "RR interval",
  age: "Age",
  sex: "Sex",
  potassium: "Potassium",
  arrhythmia: "Arrhythmia",
};

const RHYTHMS = {
  SR: "sinus rhythm",
  SBRAD: "sinus bradycardia",
  STACH: "sinus tachycardia",
  SARRH: "sinus arrhythmia",
  AFIB: "atrial fibrillation",
  AFLT: "atrial flutter",
  PVC: "ventricular premature beats",
  PAC: "atrial premature beats",
  SVTAC: "supraventricular tachycardia",
  PSVT: "paroxysmal supraventricular tachycardia",
  SVARR: "supraventricular arrhythmia",
  BIGU: "bigeminy",
  TRIGU: "trigeminy",
  PACE: "paced rhythm",
};

/** A task's name for people: that of the five, else its own with spaces. */
export const title = (task) => TITLES[task] ?? task.replaceAll("_", " ");

/** A class as people call it, in the task that it belongs to. */
export function className(task, name) {
  if (task === "sex") return { F: "female", M: "male" }[name] ?? name;
  return task === "arrhythmia" && RHYTHMS[name] ? `${RHYTHMS[name]} (${name})` : name;
}

/** Rounded to `digits` decimals with a true minus; a dash for what is not known. */
export function number(value, digits = 0, sign = false) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const text = Math.abs(value).toFixed(digits);
  const zero = Number(text) === 0;
  const before = value < 0 && !zero ? "−" : sign && !zero ? "+" : "";
  return before + text;
}

/** How many decimals show a value of this size to three digits at most. */
export function digitsFor(size) {
  const magnitude = Math.abs(size);
  if (!(magnitude > 0)) return 0;
  return Math.min(3, Math.max(0, 1 - Math.floor(Math.log10(magnitude))));
}

/** Decimals of a regression's answer: those that its interval can bear, none for milliseconds and years. */
export function decimals(answer) {
  if (answer.unit === "ms" || answer.unit === "years") return 0;
  const width = (answer.high ?? NaN) - (answer.low ?? NaN);
  return digitsFor(Number.isFinite(width) && width > 0 ? width : (answer.value ?? 0));
}

/** A probability, never rounded to certainty. */
export function percent(share) {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–";
  if (share > 0 && share < 0.01) return "<\u00a01\u00a0%";
  if (share < 1 && share > 0.99) return ">\u00a099\u00a0%";
  return `${Math.round(share * 100)}\u00a0%`;
}

/** `49 to 74`. */
export const span = (low, high, digits) => `${number(low, digits)} to ${number(high, digits)}`;

/** `I, II and III`. */
export function listed(words) {
  const all = [...words];
  return all.length < 2 ? all.join("") : `${all.slice(0, -1).join(", ")} and ${all.at(-1)}`;
}

/** `1 recording`, `2 recordings`. */
export const count = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;

/** `Hz` for a sampling rate without superfluous zeros. */
export const short = (value) => String(Number(Number(value).toPrecision(4)));
