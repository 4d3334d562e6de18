/** What tests of snapshots start from: archives of a store in memory, snapshots in the order in which they were made, and a hand that spoils what lies there. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { Archive, type ArchiveOptions } from "../../src/snapshots/archive.ts";
import { PLAIN_SEAL } from "../../src/snapshots/seal/seal.ts";
import type { NewSnapshot, SnapshotMetadata } from "../../src/snapshots/snapshot.ts";
import type { Key, Metadata, Store, Version } from "../../src/store/port.ts";
import { NEWER, snapshotOf, V391 } from "../fakes/config.ts";
import type { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";

export const { signal } = new AbortController();
/** What is saved with it is known to be newer than all that was seen before. */
export const CONDITIONAL = { conditional: true, provenance: NEWER };
export const KEY: Key = "3.9.1/config.json";
export const historyKey = (id: string): Key => `3.9.1/history/${id}.json.gz`;
/** As S3's ETags look: a digest of the body alone. */
export const ETAG = "0123456789abcdef0123456789abcdef" as Version;

/** What readers say who take one of the history, and of an entry that will not do. */
export const INSTEAD =
  "current snapshot cannot be used, the newest good one of the history is used instead";
export const SPOILT = "snapshot of the history cannot be used";

/** Of Kong 3.9.1, without keys. */
export function optionsOn(store: Store) {
  const log = new RecordingLog();
  return { store, kongVersion: V391, seal: PLAIN_SEAL, maxConfigBytes: 10_000, log };
}

/** It keeps a history. */
export function archiveOn(store: Store, more: Partial<ArchiveOptions> = {}): Archive {
  return new Archive({ ...optionsOn(store), keepHistory: true, ...more });
}

/** Made by its control plane, and taken, so many seconds after the others. */
export function made(
  name: string,
  seconds: number,
  overrides: Partial<SnapshotMetadata> = {},
): NewSnapshot {
  const { controlPlaneTimestamp = 0, exportedAt } = snapshotOf(name).metadata;
  return snapshotOf(name, {
    controlPlaneTimestamp: controlPlaneTimestamp + seconds,
    exportedAt: new Date(exportedAt.getTime() + seconds * 1000),
    ...overrides,
  });
}

export function nameIn({ config }: { readonly config: Uint8Array }): string {
  return /"name":"([^"]+)"/.exec(Buffer.from(config).toString())?.[1] ?? "";
}

export function objectIn(store: MemoryStore, key: Key = KEY) {
  const object = store.objects.get(key);
  assert.ok(object, `nothing lies under ${key}`);
  return object;
}

/** What a hand may change of an object. It has another version then. */
export interface Change {
  readonly body?: Uint8Array;
  readonly metadata?: Metadata;
  readonly version?: Version;
}

export function spoil(store: MemoryStore, change: Change, key: Key = KEY): void {
  const object = objectIn(store, key);
  const bytes = (change.body ?? object.body).length;
  const version = `spoilt ${randomUUID()}` as Version;
  store.objects.set(key, { ...object, version, ...change, bytes });
}
