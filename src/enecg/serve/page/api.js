// The service's answers, and what goes wrong on the way.

const RETRIES = 40; // of a busy service, each after the time that it asks for
const POLL = 400; // ms between two looks at a job

/** Something that the service refused, in one line for people. */
export class Refused extends Error {
  constructor(detail, { status = 0, code = "unreachable", request = null, skipped = [] } = {}) {
    super(detail);
    Object.assign(this, { status, code, request, skipped });
  }
}

let token = read();
let askForToken = async () => null;

/** Who asks the user for the token: called with a line that says why, resolves to the token or null. */
export function onToken(ask) {
  askForToken = ask;
}

/** Whether a token is at hand. */
export const hasToken = () => token !== null;

/** Use this token until the tab is closed. */
export function useToken(text) {
  token = text;
  try {
    sessionStorage.setItem("enecg.token", text);
  } catch {
    // It then lasts as long as the page.
  }
}

function read() {
  try {
    return sessionStorage.getItem("enecg.token");
  } catch {
    return null;
  }
}

const pause = (ms, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });

/** Ask the service: `path` is relative to the page, so that a proxy may put both under a folder of its own. */
export async function ask(path, { method = "GET", body, signal, waiting } = {}) {
  for (let busy = 0, starting = 0; ;) {
    const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
    let answer;
    try {
      answer = await fetch(new URL(path.replace(/^\//, ""), document.baseURI), { method, body, headers, signal });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new Refused("The service does not answer. Is it still running, and the network up? Then try again.");
    }
    if (answer.ok) return answer;
    if (answer.status === 401) {
      const given = await askForToken(token === null ? "" : "The service did not accept that token.");
      if (given === null) throw new Refused("The service needs a token.", { status: 401, code: "unauthorised" });
      useToken(given);
    } else if (answer.status === 429 && busy++ < RETRIES) {
      const seconds = Number(answer.headers.get("Retry-After")) || 1;
      waiting?.("The service is busy; waiting for a free place.");
      await pause(seconds * 1000 * (1 + Math.random() / 2), signal);
    } else {
      const refused = await refusal(answer);
      if (refused.code !== "not_ready" || starting++ > RETRIES) throw refused;
      waiting?.("The service is starting.");
      await pause(1500, signal);
    }
  }
}

async function refusal(answer) {
  const request = answer.headers.get("X-Request-ID");
  let message = {};
  try {
    message = await answer.json();
  } catch {
    // A proxy in between answers in its own words; the status says enough.
  }
  const detail = message.detail ?? `The service answered with status ${answer.status}.`;
  return new Refused(detail, { status: answer.status, code: message.code, request, skipped: message.skipped ?? [] });
}

/** A JSON answer. */
export const json = async (path, options) => (await ask(path, options)).json();

/** A multipart body of one or several recordings' files, with what the user says of silent ones. */
export function form(files, { rate, unit } = {}) {
  const body = new FormData();
  for (const file of files) body.append("files", file, file.name);
  if (rate) body.append("rate", rate);
  if (unit) body.append("unit", unit);
  return body;
}

/** Start a job and wait for it; `progress(done, total)` is called on the way, and an abort cancels it there too. */
export async function job(path, body, { signal, progress, waiting } = {}) {
  let state = await json(path, { method: "POST", body, signal, waiting });
  const at = `v1/jobs/${encodeURIComponent(state.id)}`;
  try {
    while (state.state === "queued" || state.state === "running") {
      progress?.(state.done, state.total);
      await pause(POLL, signal);
      state = await json(at, { signal, waiting });
    }
  } finally {
    ask(at, { method: "DELETE" }).catch(() => {}); // it would be forgotten by itself, only later
  }
  if (state.state !== "done") throw new Refused(state.detail ?? `The job was ${state.state}.`, { code: state.state });
  return state.result;
}
