// The recordings of this session: they live in this tab only, and are gone when it is closed.

import { form, job, json, Refused } from "./api.js";
import { batches } from "./files.js";
import { decode } from "./signal.js";

const AT_ONCE = 24; // recordings in one job, so that the table fills while one waits
const LIMITS = { files: 32, bytes: 32 << 20, job_files: 256, job_bytes: 256 << 20 };

let counter = 0;

class Records extends EventTarget {
  items = [];
  current = null;
  limits = LIMITS;

  /** Take recordings in; returns their entries. */
  add(groups) {
    const added = groups.map((group) => ({
      id: ++counter,
      state: "waiting", // then "answered", "refused" (must not be interpreted) or "unreadable"
      reason: "",
      needs: [], // of an unreadable file: what it does not say
      answer: null,
      signal: null,
      peaks: [],
      callipers: [],
      who: "",
      stated: {}, // what the user says of a silent file: rate, unit
      ...group,
    }));
    this.items.push(...added);
    this.tell();
    return added;
  }

  remove(item) {
    this.items = this.items.filter((one) => one !== item);
    if (this.current === item) this.current = this.items.at(-1) ?? null;
    this.tell();
  }

  tell() {
    this.dispatchEvent(new Event("change"));
  }

  /** One recording with its samples; a file that cannot be read becomes "unreadable" with the reason. */
  async open(item, { signal, waiting } = {}) {
    this.current = item;
    if (item.signal || item.state === "unreadable") return item;
    try {
      const body = form(item.files, item.stated);
      const document = await json("v1/predict?signal=true", { method: "POST", body, signal, waiting });
      this.#take([item], document);
      if (document.predictions[0]?.signal) {
        item.signal = decode(document.predictions[0].signal);
        item.peaks = document.predictions[0].signal.r_peaks;
      }
    } catch (error) {
      if (!(error instanceof Refused) || !this.#blame([item], error)) throw error;
    }
    this.tell();
    return item;
  }

  /** Answers for many recordings, without their samples; `progress(done, total)` on the way. */
  async openAll(items, { signal, progress, waiting } = {}) {
    const { job_files: files, job_bytes: bytes } = this.limits;
    let before = 0;
    for (const batch of batches(items, { files, bytes, recordings: AT_ONCE })) {
      const body = form(batch.flatMap((item) => item.files));
      const status = (done) => progress?.(before + Math.min(done, batch.length), items.length);
      try {
        this.#take(batch, await job("v1/jobs", body, { signal, progress: status, waiting }));
      } catch (error) {
        if (!(error instanceof Refused) || !this.#blame(batch, error)) throw error;
      }
      before += batch.length;
      progress?.(before, items.length);
      this.tell();
    }
  }

  /** Which answer belongs to which entry: by the file's name, unique in one request. */
  #take(items, document) {
    const { predictions, skipped, ...about } = document;
    const named = new Map(predictions.map((answer) => [answer.record, answer]));
    const refused = new Map(skipped.map((one) => [one.record, one]));
    for (const item of items) {
      const answer = named.get(item.name);
      if (answer) {
        const { signal, ...rest } = answer;
        Object.assign(item, {
          answer: rest,
          about,
          state: rest.usable ? "answered" : "refused",
          who: who(rest.recording),
        });
      } else {
        const { reason = "The service did not answer for this file.", needs = [] } = refused.get(item.name) ?? {};
        Object.assign(item, { state: "unreadable", reason, needs });
      }
    }
  }

  /** Put a refusal of a whole request on its recordings; false when it is not about them. */
  #blame(items, error) {
    if (![400, 408, 413, 415, 422].includes(error.status) && error.code !== "failed") return false;
    const refused = new Map(error.skipped.map((one) => [one.record, one]));
    for (const item of items) {
      const { reason = error.message, needs = [] } = refused.get(item.name) ?? {};
      Object.assign(item, { state: "unreadable", reason, needs, request: error.request });
    }
    return true;
  }
}

/** What the file says of the person, in words. */
function who(recording) {
  const sex = { F: "female", M: "male" }[recording.sex];
  const age =
    recording.age === null || recording.age === undefined ? null : `${Number(recording.age.toFixed(1))} years`;
  return [sex, age].filter(Boolean).join(", ");
}

export const records = new Records();
