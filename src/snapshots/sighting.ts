/** From a stored object to a config that may be used: signature, metadata, decryption, unpacking, digest and form, in this order. */

import type { KongVersion } from "../kong/version.ts";
import { type StoredObject, StoreError } from "../store/port.ts";
import { SnapshotError } from "./errors.ts";
import { maxPackedBytes, unpackConfig } from "./history-body.ts";
import { HELD } from "./metadata.ts";
import { maxSealedBytes, type Seal } from "./seal/seal.ts";
import { type SealMarks, sealMarksOf } from "./seal-marks.ts";
import type { Snapshot, SnapshotMetadata } from "./snapshot.ts";
import { verifyMetadata, verifySnapshot } from "./verify.ts";
import { BLANKS_BYTES } from "./write-id.ts";

export interface SightingOptions {
  readonly seal: Seal;
  readonly kongVersion: KongVersion;
  /** Longest config accepted, bytes. */
  readonly maxConfigBytes: number;
}

/** What an object shows to somebody with our keys. Its signature holds, if signatures are demanded. */
export type Sighting =
  /** Verified. */
  | { readonly kind: "open"; readonly snapshot: Snapshot; readonly marks: SealMarks }
  /** None of our keys opens it: only its metadata can be vouched for. */
  | {
      readonly kind: "sealed";
      readonly metadata: SnapshotMetadata | undefined;
      readonly marks: SealMarks;
      /** SNAPSHOT_SEALED. */
      readonly why: SnapshotError;
    };

/** Longest current object that holds a config of this length, bytes. */
export function maxCurrentBytes(maxConfigBytes: number): number {
  return maxSealedBytes(maxConfigBytes + BLANKS_BYTES);
}

/** Longest object of the history that holds a config of this length, bytes. */
export function maxKeptBytes(maxConfigBytes: number): number {
  return maxSealedBytes(maxPackedBytes(maxConfigBytes));
}

/**
 * A current object. One that says it was held back is refused: somebody put it there. `name` is the
 * object with its store, for messages. Throws SnapshotError; STORE_TOO_LARGE for a config that is
 * longer than it may be.
 */
export async function sightCurrent(
  object: StoredObject,
  name: string,
  options: SightingOptions,
): Promise<Sighting> {
  return sight(object, name, options, {
    check() {
      if (object.metadata[HELD] === undefined) return;
      throw new SnapshotError("SNAPSHOT_CORRUPT", `${name} is a config that was held back`, {
        hint: "It was copied there by hand: kong-fallback snapshots restore is the way.",
      });
    },
    maxBytes: options.maxConfigBytes + BLANKS_BYTES,
    unpack: async (body) => body,
  });
}

/** An object of the history; as `sightCurrent`. */
export async function sightKept(
  object: StoredObject,
  name: string,
  options: SightingOptions,
): Promise<Sighting> {
  const { maxConfigBytes } = options;
  return sight(object, name, options, {
    check() {},
    maxBytes: maxPackedBytes(maxConfigBytes),
    unpack: (body) => unpackConfig(body, maxConfigBytes, name),
  });
}

export function metadataOf(sighting: Sighting): SnapshotMetadata | undefined {
  return sighting.kind === "open" ? sighting.snapshot.metadata : sighting.metadata;
}

/** Throws SNAPSHOT_SEALED for one that none of our keys opens. */
export function opened(sighting: Sighting): Snapshot {
  if (sighting.kind === "sealed") throw sighting.why;
  return sighting.snapshot;
}

interface Place {
  check(): void;
  /** Of what was encrypted. */
  readonly maxBytes: number;
  readonly unpack: (body: Uint8Array) => Promise<Uint8Array>;
}

async function sight(
  object: StoredObject,
  name: string,
  { seal, kongVersion }: SightingOptions,
  { check, maxBytes, unpack }: Place,
): Promise<Sighting> {
  seal.checkSignature(object.metadata, name);
  check();
  const metadata = verifyMetadata(object.metadata, kongVersion, name);
  const marks = sealMarksOf(object.metadata, seal.trusted.length > 0);
  let body: Uint8Array;
  try {
    body = await seal.open(object.body, name, maxBytes);
  } catch (why) {
    const isSealed = why instanceof SnapshotError && why.code === "SNAPSHOT_SEALED";
    if (!isSealed) throw why;
    return { kind: "sealed", metadata, marks, why };
  }
  // The store was asked for as much as the longest encrypted one needs.
  if (body.length > maxBytes) throw tooLarge(name, body.length, maxBytes);
  const config = await unpack(body);
  const snapshot = verifySnapshot({ ...object, body: config }, kongVersion, name);
  return { kind: "open", snapshot, marks };
}

function tooLarge(name: string, bytes: number, maxBytes: number): StoreError {
  return new StoreError("STORE_TOO_LARGE", `${name} has ${bytes} bytes, more than ${maxBytes}`, {
    hint: "Raise KONG_FALLBACK_MAX_CONFIG_BYTES, if that size is expected.",
  });
}
