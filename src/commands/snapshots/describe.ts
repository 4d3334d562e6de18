/** A snapshot in words and as JSON: the same facts wherever one is shown, and nothing of its content. */

import type { ServiceError } from "../../core/errors.ts";
import { countEntities, type EntityCounts } from "../../kong/entity-counts.ts";
import { isRestored } from "../../snapshots/restored.ts";
import { type SealMarks, sealText } from "../../snapshots/seal/seal.ts";
import { metadataOf, type Sighting } from "../../snapshots/sighting.ts";
import { type Snapshot, type SnapshotMetadata, sha256, takenAt } from "../../snapshots/snapshot.ts";
import { formatDuration, formatTime } from "../text.ts";

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

/** What it holds, and how it is sealed: `services 4, ...; signed by 0123456789abcdef, sealed`. */
export function summariseSighting(sighting: Sighting): string {
  const counts = countsOf(sighting);
  const parts = [counts && summarise(counts), sealText(sighting.marks)];
  return parts.filter((part) => part).join("; ");
}

/** As the metadata say, or counted; undefined where neither is possible. */
export function countsOf(sighting: Sighting): EntityCounts | undefined {
  const counted = metadataOf(sighting)?.entities;
  if (counted !== undefined || sighting.kind === "sealed") return counted;
  return countEntities(sighting.snapshot.config);
}

/** Of the config in the clear; undefined where nobody knows. */
export function bytesOf(sighting: Sighting): number | undefined {
  return sighting.kind === "open" ? sighting.snapshot.config.length : sighting.metadata?.bytes;
}

/** `2026-11-21 12:00:00Z (12 min ago)`. */
export function formatTaken(metadata: SnapshotMetadata | undefined, now: Date): string {
  const at = metadata && takenAt(metadata);
  if (at === undefined) return "unknown";
  return `${formatTime(at)} (${formatDuration(now.getTime() - at.getTime())} ago)`;
}

/** Whether a Kong had loaded it before it was saved. */
export function describeRehearsed(metadata: SnapshotMetadata | undefined): string {
  if (metadata?.rehearsed === undefined) return "unknown";
  return metadata.rehearsed ? "yes" : "no";
}

/** `exporterId` as a table has room for it. */
export function shortExporter(exporterId: string): string {
  return isRestored({ exporterId }) ? "restored" : exporterId.slice(0, 8);
}

/** For machines; `metadata` is null where the object carries none. */
export function snapshotJson({ config, metadata }: Snapshot): object {
  return {
    sha256: sha256(config),
    bytes: config.length,
    entities: countEntities(config),
    metadata: metadata ?? null,
  };
}

/** As `snapshotJson`; of one that none of our keys opens, what its metadata say. */
export function sightingJson(sighting: Sighting): object {
  const seal = { ...sealJson(sighting.marks), opened: sighting.kind === "open" };
  if (sighting.kind === "open") return { ...snapshotJson(sighting.snapshot), seal };
  const { metadata } = sighting;
  return {
    sha256: metadata?.sha256 ?? null,
    bytes: metadata?.bytes ?? null,
    entities: metadata?.entities ?? null,
    metadata: metadata ?? null,
    seal,
  };
}

export function sealJson({ signedBy, isVerified, sealedFor }: SealMarks): object {
  const verified = signedBy === undefined ? null : isVerified;
  return { signedBy: signedBy ?? null, verified, sealedFor: sealedFor ?? null };
}

export function errorJson({ code, message }: ServiceError): object {
  return { error: { code, message } };
}
