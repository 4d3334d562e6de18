/** A snapshot in words and as JSON: the same facts wherever one is shown, and nothing of its content. */

import type { ServiceError } from "../../core/errors.ts";
import { countEntities, type EntityCounts } from "../../kong/entity-counts.ts";
import { takenAt } from "../../snapshots/newest.ts";
import type { Snapshot, SnapshotMetadata } from "../../snapshots/snapshot.ts";
import { sha256 } from "../../snapshots/verify.ts";
import { formatDuration, formatTime } from "../quantities.ts";

/** The kinds people ask about first. */
const MAIN_KINDS = ["services", "routes", "plugins", "consumers", "upstreams"] as const;

/** `services 4, routes 6, plugins 12, consumers 2, upstreams 2, others 17`. */
export function summarise(counts: EntityCounts): string {
  const main = MAIN_KINDS.map((kind) => ({ kind, count: counts[kind] ?? 0 }));
  const sum = (values: readonly number[]) => values.reduce((total, count) => total + count, 0);
  const others = sum(Object.values(counts)) - sum(main.map(({ count }) => count));
  return [...main, { kind: "others", count: others }]
    .filter(({ kind, count }) => kind !== "others" || count > 0)
    .map(({ kind, count }) => `${kind} ${count}`)
    .join(", ");
}

/** `2026-11-21 12:00:00Z (12 min ago)`. */
export function formatTaken(metadata: SnapshotMetadata | undefined, now: Date): string {
  const at = metadata && takenAt(metadata);
  if (at === undefined) return "unknown";
  return `${formatTime(at)} (${formatDuration(now.getTime() - at.getTime())} ago)`;
}

/** `exporterId` as a table has room for it. */
export function shortExporter(exporterId: string): string {
  return exporterId.startsWith(RESTORED) ? "restored" : exporterId.slice(0, 8);
}

/** How the exporter id of a snapshot begins that `restore` made current; the id it had in the history follows. */
export const RESTORED = "restored:";

/** For machines; `metadata` is null where the object carries none. */
export function snapshotJson({ config, metadata }: Snapshot): object {
  return {
    sha256: sha256(config),
    bytes: config.length,
    entities: countEntities(config),
    metadata: metadata ?? null,
  };
}

export function errorJson({ code, message }: ServiceError): object {
  return { error: { code, message } };
}
