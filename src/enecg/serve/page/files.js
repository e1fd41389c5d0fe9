// From what was dropped or picked to recordings: one file each, but a WFDB record is a header with its signal files.

const BESIDE_A_HEADER = /\.(dat|mat|\d+)$/i;
const NOT_A_RECORDING = /^(\.|thumbs\.db$|desktop\.ini$|records$|sha256sums)/i;

/** Group files into recordings: [{name, files}], named by the header or the only file. */
export function grouped(files) {
  const useful = files.filter((file) => !NOT_A_RECORDING.test(file.name));
  const stem = (file) => `${folder(file)}/${file.name.replace(/\.[^.]*$/, "")}`;
  const headers = new Map(useful.filter((file) => /\.hea$/i.test(file.name)).map((file) => [stem(file), file]));
  const found = new Map();
  for (const file of useful) {
    const header = BESIDE_A_HEADER.test(file.name) ? headers.get(stem(file)) : undefined;
    const main = header ?? file;
    if (!found.has(main)) found.set(main, { name: main.name, path: pathOf(main), files: [main] });
    if (file !== main) found.get(main).files.push(file);
  }
  return [...found.values()].sort((a, b) => a.path.localeCompare(b.path, undefined, { numeric: true }));
}

/** Path below the folder that was picked. */
const pathOf = (file) => file.path_ ?? (file.webkitRelativePath || file.name);
const folder = (file) => pathOf(file).split("/").slice(0, -1).join("/");

/** Cut recordings into requests: within the service's limits, and no two files of one name in the same. */
export function batches(items, { files, bytes, recordings }) {
  const found = [];
  let names = new Set();
  let size = Infinity;
  for (const item of items) {
    const more = item.files.reduce((sum, file) => sum + file.size, 0);
    const clash = item.files.some((file) => names.has(file.name));
    const current = found.at(-1);
    const full =
      !current || current.length >= recordings || names.size + item.files.length > files || size + more > bytes;
    if (full || clash) {
      found.push([]);
      names = new Set();
      size = 0;
    }
    found.at(-1).push(item);
    for (const file of item.files) names.add(file.name);
    size += more;
  }
  return found;
}

/** All files of a drop, those in folders too. Must be called while the event is handled. */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      file.path_ = entry.fullPath.replace(/^\//, "");
      found.push(file);
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // at most 100 at a time
      if (!some.length) return;
      for (const one of some) await walk(one);
    }
  };
  for (const entry of entries) await walk(entry);
  return found;
}
