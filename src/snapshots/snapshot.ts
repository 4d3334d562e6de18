/** A saved config: the exact bytes of Kong's `config_table`, and what is known about them. */

import { createHash } from "node:crypto";
import type { EntityCounts } from "../kong/entity-counts.ts";
import type { KongVersion } from "../kong/version.ts";
import type { Version } from "../store/port.ts";

export interface SnapshotMetadata {
  /** Kong version the config is for, as the exporter declared it. */
  readonly kongVersion: KongVersion;
  /** Kong's own hash of the config, as the control plane gave it; undefined where none came. */
  readonly configHash: string | undefined;
  /** Kong's hashes by part (`routes`, `services`, ...), as given; empty where none came. */
  readonly hashes: Readonly<Record<string, string>>;
  /** Whether Kong's hash was recomputed from the bytes: equal, different, or not tried. */
  readonly hashMatch: "true" | "false" | "unchecked";
  /** Lower-case hex SHA-256 of the bytes. */
  readonly sha256: string;
  /** Length of the bytes. */
  readonly bytes: number;
  /** Of the control plane it comes from, see ConfigOrigin; after a restore, that of what it replaced. */
  readonly clusterId: string | undefined;
  /** When the control plane made the payload, by its own clock: seconds since 1970; undefined where it did not say. */
  readonly controlPlaneTimestamp: number | undefined;
  /** When the exporter took it, by the exporter's clock. */
  readonly exportedAt: Date;
  /** Node id of the exporter that saved it. */
  readonly exporterId: string;
  /** Grows with every change of exporter; a lower one never replaces a higher one. 0 before any election. */
  readonly fencingToken: number;
  /** Whether a Kong of this version has loaded it before it was saved; undefined: from before there was such a thing. */
  readonly rehearsed: boolean | undefined;
  /** How many entities of each kind; kinds that have none may be missing. Undefined where nobody counted, or the text would be too long. */
  readonly entities: EntityCounts | undefined;
}

export interface Snapshot {
  /** Kong's declarative configuration, JSON, byte for byte as the control plane sent it. */
  readonly config: Uint8Array;
  /** Undefined where the object carries none, e.g. after a copy by hand. */
  readonly metadata: SnapshotMetadata | undefined;
}

/** A snapshot that is about to be saved, or was found in the history, always has metadata. */
export type NewSnapshot = Snapshot & { readonly metadata: SnapshotMetadata };

/** Where a snapshot was read: the current object, or the history in its place. */
export type SnapshotOrigin =
  | { readonly kind: "current" }
  | { readonly kind: "history"; readonly id: string };

export interface FoundSnapshot extends Snapshot {
  readonly origin: SnapshotOrigin;
  /** Kong version under which it lay; not always the one that was asked for, see StoreReader. */
  readonly kongVersion: KongVersion;
}

/** A snapshot as a reader finds it, and the version of what lay there, to be given as `seen` next time. */
export interface Found {
  readonly snapshot: FoundSnapshot;
  readonly version: Version;
}

/** Called as bytes arrive: received so far, and the total where the store tells it. */
export type OnProgress = (receivedBytes: number, totalBytes: number | undefined) => void;

/** Lower-case hex. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** `exportedAt` where nobody knows the age: older than all others. */
const UNKNOWN_AGE_MS = 0;

/**
 * Metadata for a config that came without any, as after a copy by hand. With `putAt`, the moment it
 * was put there, it is as new as that; without, every other snapshot is newer.
 */
export function describeBare(
  config: Uint8Array,
  kongVersion: KongVersion,
  putAt: Date | undefined,
): SnapshotMetadata {
  return {
    kongVersion,
    configHash: undefined,
    hashes: {},
    hashMatch: "unchecked",
    sha256: sha256(config),
    bytes: config.length,
    clusterId: undefined,
    controlPlaneTimestamp: undefined,
    exportedAt: putAt ?? new Date(UNKNOWN_AGE_MS),
    exporterId: "by-hand",
    fencingToken: 0,
    rehearsed: undefined,
    entities: undefined,
  };
}

/** When the config was taken from its control plane, or put there by hand; undefined where nobody knows. */
export function takenAt({ exportedAt }: SnapshotMetadata): Date | undefined {
  return exportedAt.getTime() === UNKNOWN_AGE_MS ? undefined : exportedAt;
}
