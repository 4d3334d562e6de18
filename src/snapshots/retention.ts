/** How much of the history is kept: by count, age and bytes, and never less than is needed. */

import type { HistoryEntry } from "./history.ts";

/**
 * Undefined: no limit. Each limit holds for the saved configs and, by itself, for those that were
 * held back: a flood of bad configs must not push out the good ones.
 */
export interface RetentionPolicy {
  readonly maxCount?: number | undefined;
  /** By the time in the id, and by the store's: beyond it only where both say so. */
  readonly maxAgeMs?: number | undefined;
  /** Of the compressed configs together. */
  readonly maxTotalBytes?: number | undefined;
}

export interface Removal {
  readonly entry: HistoryEntry;
  /** The limit it is beyond; where several are, the one that an older entry meets first. */
  readonly reason: "count" | "age" | "bytes";
}

/** The time it is, by the clock that made the ids and by that of the store. */
export interface RetentionTimes {
  readonly names: Date;
  readonly store: Date;
}

/**
 * The times to go by where nobody looks at what is removed: those of the history itself, so that no
 * clock that is wrong for one save empties it. By the ids it is no later than the save before the
 * newest: one that claims a time far ahead makes nothing old. `now`: by the own clock.
 */
export function timesOf(entries: readonly HistoryEntry[], now: Date): RetentionTimes {
  const [, before] = entries.toSorted((a, b) => (a.id < b.id ? 1 : -1));
  const written = entries.map(({ putAt }) => putAt?.getTime() ?? Number.NEGATIVE_INFINITY);
  const names = Math.min(now.getTime(), before?.at.getTime() ?? Number.POSITIVE_INFINITY);
  return { names: new Date(names), store: new Date(Math.max(...written)) };
}

/**
 * What goes, the oldest first: cut off after any of them, a valid history is left. Never the newest
 * saved config, never the newest held back, and never the one that is current, which is the newest
 * with `currentHash` (see historyHash): these stay even where they alone are beyond a limit.
 */
export function beyondRetention(
  entries: readonly HistoryEntry[],
  policy: RetentionPolicy,
  {
    currentHash,
    times,
  }: { readonly currentHash: string | undefined; readonly times: RetentionTimes },
): readonly Removal[] {
  const newestFirst = entries.toSorted((a, b) => (a.id < b.id ? 1 : -1));
  const saved = newestFirst.filter(({ held }) => !held);
  const held = newestFirst.filter((entry) => entry.held);
  const current = saved.find(({ hash }) => hash === currentHash);
  const removals = [
    ...beyond(saved, policy, times, new Set([saved[0], current])),
    ...beyond(held, policy, times, new Set([held[0]])),
  ];
  return removals.toSorted((a, b) => (a.entry.id < b.entry.id ? -1 : 1));
}

/** `entries`: the newest first. What stays is without gaps, but for the `needed` ones. */
function beyond(
  entries: readonly HistoryEntry[],
  { maxCount, maxAgeMs, maxTotalBytes }: RetentionPolicy,
  times: RetentionTimes,
  needed: ReadonlySet<HistoryEntry | undefined>,
): readonly Removal[] {
  const kept = entries.filter((entry) => needed.has(entry));
  let count = kept.length;
  let bytes = kept.reduce((sum, entry) => sum + entry.bytes, 0);
  let reason: Removal["reason"] | undefined;
  const removals: Removal[] = [];
  for (const entry of entries) {
    if (needed.has(entry)) continue;
    if (maxCount !== undefined && count + 1 > maxCount) reason ??= "count";
    if (maxAgeMs !== undefined && ageMs(entry, times) > maxAgeMs) reason ??= "age";
    if (maxTotalBytes !== undefined && bytes + entry.bytes > maxTotalBytes) reason ??= "bytes";
    if (reason === undefined) {
      count += 1;
      bytes += entry.bytes;
    } else {
      removals.push({ entry, reason });
    }
  }
  return removals;
}

/** The shorter one of both ages. */
function ageMs({ at, putAt }: HistoryEntry, { names, store }: RetentionTimes): number {
  const byName = names.getTime() - at.getTime();
  return putAt === undefined ? byName : Math.min(byName, store.getTime() - putAt.getTime());
}
