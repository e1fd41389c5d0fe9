// What can be taken away: JSON, FHIR and the samples; PDF is the browser's own printing, which works everywhere.

import { ask, form } from "./api.js";
import { save } from "./dom.js";
import { NOTICE } from "./format.js";
import { asCsv } from "./signal.js";

const stem = (item) => item.name.replace(/\.[^.]*$/, "") || "ecg";

/** The service's answer for one recording, as `enecg predict --format json` writes it. */
export function saveJson(item) {
  const document = { ...item.about, predictions: [item.answer], skipped: [] };
  save(`${stem(item)}.enecg.json`, `${JSON.stringify(document, null, 1)}\n`, "application/json");
}

/** A FHIR R4 Bundle, made by the service from the same file. */
export async function saveFhir(item) {
  const answer = await ask("v1/predict?format=fhir", { method: "POST", body: form(item.files, item.stated) });
  save(`${stem(item)}.fhir.json`, await answer.text(), "application/fhir+json");
}

/** The samples as the service read them. */
export function saveSamples(item) {
  save(`${stem(item)}.csv`, asCsv(item.signal), "text/csv");
}

/** A table of texts as CSV, for spreadsheets; a cell that could be taken for a formula is quoted as text. */
export function saveTable(name, rows) {
  const cell = (value) => {
    const text = String(value ?? "");
    const safe = /^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const lines = [[NOTICE], ...rows].map((row) => row.map(cell).join(","));
  save(name, `\ufeff${lines.join("\r\n")}\r\n`, "text/csv");
}
