// CSV as the server writes it: several files made one. Pure.

// A record: quoted fields, which may hold line ends, and whatever is not a line end.
const RECORD = /(?:"(?:[^"]|"")*"|[^"\r\n])+/g;

/** The records of `files`, which have the same columns, by the number that each begins with. */
export function mergedCsv(files: readonly string[]): string {
  const records = files.map((file) => file.match(RECORD) ?? []);
  const head = records[0]?.[0];
  if (head === undefined) return "";
  const rows = records.flatMap(([, ...rest]) => rest);
  rows.sort((one, other) => Number.parseInt(one, 10) - Number.parseInt(other, 10));
  return [head, ...rows, ""].join("\r\n");
}
