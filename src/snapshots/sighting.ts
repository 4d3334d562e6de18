/**
 * From a stored object to a config that may be used: signature, metadata, decryption, unpacking, digest
 * and form, in this order. Nothing unverified is served or applied.
 */

import { describeCause } from "../core/errors.ts";
import { checkDeclarativeConfig } from "../kong/declarative-config.ts";
import type { KongVersion } from "../kong/version.ts";
import { type Metadata, type ObjectHead, type StoredObject, StoreError } from "../store/port.ts";
import { SnapshotError } from "./errors.ts";
import { maxPackedBytes, unpackConfig } from "./history-body.ts";
import { decodeMetadata, HELD } from "./metadata.ts";
import { maxSealedBytes, type Seal, type SealMarks, sealMarksOf } from "./seal/seal.ts";
import { type Snapshot, type SnapshotMetadata, sha256 } from "./snapshot.ts";
import { BLANKS_BYTES, blanksOf, writeIdOf } from "./write-id.ts";

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
 * A current object, as `vouchForCurrent` and its config. Throws SnapshotError; STORE_TOO_LARGE for a
 * config that is longer than it may be.
 */
export async function sightCurrent(
  object: StoredObject,
  name: string,
  options: SightingOptions,
): Promise<Sighting> {
  const metadata = vouchForCurrent(object, name, options);
  return sight(object, metadata, name, options, {
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
  const metadata = vouchForKept(object, name, options);
  return sight(object, metadata, name, options, {
    maxBytes: maxPackedBytes(maxConfigBytes),
    unpack: (body) => unpackConfig(body, maxConfigBytes, name),
  });
}

/**
 * What the metadata of a current object say, their signature, format and Kong version checked, without
 * a look at its body; undefined where there are none. One that says it was held back is refused:
 * somebody put it there. `name` is the object with its store, for messages. Throws SnapshotError.
 */
export function vouchForCurrent(
  head: ObjectHead,
  name: string,
  options: SightingOptions,
): SnapshotMetadata | undefined {
  options.seal.checkSignature(head.metadata, name);
  if (head.metadata[HELD] !== undefined) {
    throw new SnapshotError("SNAPSHOT_CORRUPT", `${name} is a config that was held back`, {
      hint: "It was copied there by hand: kong-fallback snapshots restore is the way.",
    });
  }
  return verifyMetadata(head.metadata, options.kongVersion, name);
}

/** As `vouchForCurrent`, for an object of the history. */
export function vouchForKept(
  head: ObjectHead,
  name: string,
  { seal, kongVersion }: SightingOptions,
): SnapshotMetadata | undefined {
  seal.checkSignature(head.metadata, name);
  return verifyMetadata(head.metadata, kongVersion, name);
}

export function metadataOf(sighting: Sighting): SnapshotMetadata | undefined {
  return sighting.kind === "open" ? sighting.snapshot.metadata : sighting.metadata;
}

/** Throws SNAPSHOT_SEALED for one that none of our keys opens. */
export function opened(sighting: Sighting): Snapshot {
  if (sighting.kind === "sealed") throw sighting.why;
  return sighting.snapshot;
}

/** How a config lies in its object. */
interface Packing {
  /** Of what was encrypted. */
  readonly maxBytes: number;
  readonly unpack: (body: Uint8Array) => Promise<Uint8Array>;
}

async function sight(
  object: StoredObject,
  metadata: SnapshotMetadata | undefined,
  name: string,
  { seal }: SightingOptions,
  { maxBytes, unpack }: Packing,
): Promise<Sighting> {
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
  const snapshot = verified(await unpack(body), metadata, writeIdOf(object.metadata), name);
  return { kind: "open", snapshot, marks };
}

function tooLarge(name: string, bytes: number, maxBytes: number): StoreError {
  return new StoreError("STORE_TOO_LARGE", `${name} has ${bytes} bytes, more than ${maxBytes}`, {
    hint: "Raise KONG_FALLBACK_MAX_CONFIG_BYTES, if that size is expected.",
  });
}

function verifyMetadata(
  metadata: Metadata,
  wanted: KongVersion,
  name: string,
): SnapshotMetadata | undefined {
  const decoded = decodeMetadata(metadata, name);
  if (decoded === undefined || decoded.kongVersion === wanted) return decoded;
  throw new SnapshotError(
    "SNAPSHOT_WRONG_VERSION",
    `${name} was saved for Kong ${decoded.kongVersion}, not for ${wanted}`,
    { hint: "Set KONG_VERSION to the data plane's version and run an exporter for it." },
  );
}

/**
 * The snapshot whose config lies in `body`, its length, digest and form checked, without the blanks
 * that may follow it (docs/format.md). Without metadata only the form can be checked. Throws SNAPSHOT_CORRUPT.
 */
function verified(
  body: Uint8Array,
  metadata: SnapshotMetadata | undefined,
  writeId: string | undefined,
  name: string,
): Snapshot {
  const corrupt = (why: string, cause?: unknown) =>
    new SnapshotError("SNAPSHOT_CORRUPT", `${name} ${why}`, {
      hint: "Restore the object from a backup or a bucket version, or let an exporter write it again.",
      cause,
    });
  if (body.length === 0) throw corrupt("is empty");
  let config = body;
  if (metadata !== undefined) {
    config = withoutBlanks(body, writeId, metadata.bytes);
    if (metadata.bytes !== config.length) {
      throw corrupt(`has ${config.length} bytes where ${metadata.bytes} were saved`);
    }
    if (metadata.sha256 !== sha256(config)) {
      throw corrupt("does not have the SHA-256 digest it was saved with");
    }
  }
  try {
    const { clusterId } = checkDeclarativeConfig(config);
    // Metadata written by older versions lack the cluster.
    return {
      config,
      metadata: metadata && { ...metadata, clusterId: metadata.clusterId ?? clusterId },
    };
  } catch (cause) {
    throw corrupt(`is not a Kong configuration: ${describeCause(cause)}`, cause);
  }
}

/** The body without just the blanks that the write id stands for; as it is if others, or none, follow. */
function withoutBlanks(
  body: Uint8Array,
  writeId: string | undefined,
  configBytes: number,
): Uint8Array {
  if (writeId === undefined) return body;
  const hasBlanks = Buffer.compare(body.subarray(configBytes), blanksOf(writeId)) === 0;
  return hasBlanks ? body.subarray(0, configBytes) : body;
}
