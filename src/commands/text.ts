/** What people read: tables and lists within the 100 columns of a terminal; times, ages and sizes. */

export interface Column {
  readonly title: string;
  /** Default: left. */
  readonly align?: "left" | "right";
}

export interface Row {
  /** One for each column; missing ones are empty. */
  readonly cells: readonly string[];
  /** What does not fit into columns: each below the row, indented and wrapped. */
  readonly notes?: readonly string[];
}

const WIDTH = 100;
const GAP = "  ";
const INDENT = "    ";

/** Lines that end in a line feed, the titles first. Only notes are wrapped: cells are expected to be short. */
export function formatTable(columns: readonly Column[], rows: readonly Row[]): string {
  const cells = [columns.map(({ title }) => title), ...rows.map((row) => row.cells.map(printable))];
  const widths = columns.map((_, index) =>
    Math.max(...cells.map((line) => (line[index] ?? "").length)),
  );
  const line = (texts: readonly string[]) =>
    columns
      .map(({ align }, index) => {
        const [text, width] = [texts[index] ?? "", widths[index] ?? 0];
        return align === "right" ? text.padStart(width) : text.padEnd(width);
      })
      .join(GAP)
      .trimEnd();
  const [titles = [], ...bodies] = cells;
  return [
    line(titles),
    ...bodies.flatMap((body, index) => [
      line(body),
      ...(rows[index]?.notes ?? []).map((note) => wrap(note, INDENT)),
    ]),
  ]
    .map((text) => `${text}\n`)
    .join("");
}

/** `name: value` lines, the values below each other. */
export function formatList(entries: readonly (readonly [name: string, value: string])[]): string {
  const width = Math.max(0, ...entries.map(([name]) => name.length));
  return entries
    .map(([name, value]) => {
      const hanging = " ".repeat(width + GAP.length);
      return `${name.padEnd(width)}${GAP}${wrap(value, hanging).slice(hanging.length)}\n`;
    })
    .join("");
}

/** Every line begins with `indent`; a word longer than a line stays whole. */
export function wrap(text: string, indent: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of printable(text).split(" ")) {
    if (line !== "" && indent.length + line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].map((each) => `${indent}${each}`).join("\n");
}

/** Without what a terminal would obey instead of show: names in a config are whatever somebody chose. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\ufffd");
}

/** `2026-11-21 12:00:00Z`, always UTC. */
export function formatTime(at: Date): string {
  return `${at.toISOString().slice(0, 19).replace("T", " ")}Z`;
}

/** `41 s`, `12 min`, `5 h`, `3 d`: at most two digits until it is about days. Negative ones, of clocks that differ, keep their sign. */
export function formatDuration(ms: number): string {
  const sign = ms < 0 ? "-" : "";
  const seconds = Math.floor(Math.abs(ms) / 1000);
  if (seconds < 100) return `${sign}${seconds} s`;
  if (seconds < 100 * 60) return `${sign}${Math.floor(seconds / 60)} min`;
  if (seconds < 100 * 3600) return `${sign}${Math.floor(seconds / 3600)} h`;
  return `${sign}${Math.floor(seconds / 86_400)} d`;
}

/** `512 B`, `10.4 kB`, `9.4 MB`; a kB has 1000 bytes. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 999_950) return `${(bytes / 1000).toFixed(1)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}
