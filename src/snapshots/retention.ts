/** How much of the history is kept: by count, age and bytes, and never less than is needed. */

import type { HistoryEntry } from "./history.ts";

/**
 * Undefined: no limit. Each limit holds for the saved configs and, by itself, for those that were
 * held back: a flood of bad configs must not push out the good ones.
 */
export interface RetentionPolicy {
  readonly maxCount?: number | undefined;
  /** By the time in the id. */
  readonly maxAgeMs?: number | undefined;
  /** Of the compressed configs together. */
  readonly maxTotalBytes?: number | undefined;
}

export interface Removal {
  readonly entry: HistoryEntry;
  /** The limit it is beyond; where several are, the one that an older entry meets first. */
  readonly reason: "count" | "age" | "bytes";
}

/**
 * What goes, the oldest first: cut off after any of them, a valid history is left. Never the newest
 * saved config, never the newest held back, and never the one that is current, which is the newest
 * with `currentHash` (see historyHash): these stay even where they alone are beyond a limit.
 */
export function beyondRetention(
  entries: readonly HistoryEntry[],
  policy: RetentionPolicy,
  { currentHash, now }: { readonly currentHash: string | undefined; readonly now: Date },
): readonly Removal[] {
  const newestFirst = entries.toSorted((a, b) => (a.id < b.id ? 1 : -1));
  const saved = newestFirst.filter(({ held }) => !held);
  const held = newestFirst.filter((entry) => entry.held);
  const current = saved.find(({ hash }) => hash === currentHash);
  const removals = [
    ...beyond(saved, policy, now, new Set([saved[0], current])),
    ...beyond(held, policy, now, new Set([held[0]])),
  ];
  return removals.toSorted((a, b) => (a.entry.id < b.entry.id ? -1 : 1));
}

/** `entries`: the newest first. What stays is without gaps, but for the `needed` ones. */
function beyond(
  entries: readonly HistoryEntry[],
  { maxCount, maxAgeMs, maxTotalBytes }: RetentionPolicy,
  now: Date,
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
    const ageMs = now.getTime() - entry.at.getTime();
    if (maxAgeMs !== undefined && ageMs > maxAgeMs) reason ??= "age";
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
