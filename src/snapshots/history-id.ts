/** What an entry of the history is called: when it was taken, which config it is, whether it was held back. */

import type { SnapshotMetadata } from "./snapshot.ts";

export interface HistoryId {
  /** As text: `20261121T113500.123Z-0123456789ab`, and `.held` after it where it was held back. Sorts by time. */
  readonly id: string;
  readonly at: Date;
  /** 12 lower-case hex digits: see `historyHash`. */
  readonly hash: string;
  readonly held: boolean;
}

const PATTERN = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d\.\d{3})Z-([0-9a-f]{12})(\.held)?$/;

export function historyId(at: Date, hash: string, held: boolean): HistoryId {
  const time = at.toISOString().replaceAll(/[-:]/g, "");
  return { id: `${time}-${hash}${held ? ".held" : ""}`, at, hash, held };
}

/** Undefined for what `historyId` does not make. */
export function parseHistoryId(text: string): HistoryId | undefined {
  const [, year, month, day, hours, minutes, seconds, hash, held] = PATTERN.exec(text) ?? [];
  if (hash === undefined) return undefined;
  const at = new Date(`${year}-${month}-${day}T${hours}:${minutes}:${seconds}Z`);
  if (Number.isNaN(at.getTime())) return undefined;
  const parsed = historyId(at, hash, held !== undefined);
  // A 31st of February is read as a day of March.
  return parsed.id === text ? parsed : undefined;
}

/** The beginning of Kong's hash of the config, or of its SHA-256 where none came. */
export function historyHash({ configHash, sha256 }: SnapshotMetadata): string {
  return (configHash ?? sha256).slice(0, 12);
}
