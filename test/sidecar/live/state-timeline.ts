/** What happened when, as lines of text of which each sign stands for the same time: for benches and docs. */

export interface Change {
  readonly atMs: number;
  /** One sign, in force until the next change. */
  readonly sign: string;
}

export interface Track {
  readonly name: string;
  /** In the order of time. */
  readonly changes: readonly Change[];
}

export interface TimelineScale {
  /** Milliseconds that one sign stands for; of several changes within, the last is shown. */
  readonly stepMs: number;
  readonly untilMs: number;
}

const SIGNS_PER_MARK = 10;

/** One line per track, and below them a ruler in minutes and seconds. */
export function renderTimeline(
  tracks: readonly Track[],
  { stepMs, untilMs }: TimelineScale,
): string {
  const width = Math.max(...tracks.map(({ name }) => name.length));
  const steps = Math.ceil(untilMs / stepMs);
  const lines = tracks.map(({ name, changes }) => {
    const signs = Array.from({ length: steps }, (_, step) => signAt(changes, (step + 1) * stepMs));
    return `${name.padEnd(width)}  ${signs.join("")}`;
  });
  const marks = Array.from({ length: Math.ceil(steps / SIGNS_PER_MARK) }, (_, mark) =>
    clockTime(mark * SIGNS_PER_MARK * stepMs).padEnd(SIGNS_PER_MARK),
  );
  const ruler = `${"".padEnd(width)}  ${marks.join("")}`.trimEnd();
  return `${[...lines, ruler].join("\n")}\n`;
}

function signAt(changes: readonly Change[], beforeMs: number): string {
  return changes.findLast(({ atMs }) => atMs < beforeMs)?.sign ?? " ";
}

function clockTime(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
