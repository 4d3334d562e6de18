/** Nothing unverified is served or applied: what must hold of a stored object before a byte of it is used. */

import { createHash } from "node:crypto";
import { describeCause } from "../core/errors.ts";
import { checkDeclarativeConfig } from "../kong/declarative-config.ts";
import type { KongVersion } from "../kong/version.ts";
import type { Metadata, StoredObject } from "../store/port.ts";
import { SnapshotError } from "./errors.ts";
import { decodeMetadata } from "./metadata.ts";
import type { Snapshot, SnapshotMetadata } from "./snapshot.ts";
import { blanksOf, writeIdOf } from "./write-id.ts";

const CORRUPT_HINT =
  "Restore the object from a backup or a bucket version, or let an exporter write it anew.";

/** Lower-case hex. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** What the metadata say, their format and Kong version checked; undefined where there are none. Throws SnapshotError. */
export function verifyMetadata(
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
 * The snapshot in `object`, which lies open: its length, digest, form and Kong version checked, without
 * the blanks that may follow it (docs/format.md). Without metadata only the form can be checked. `name`
 * is the object with its store, for messages. Throws SnapshotError.
 */
export function verifySnapshot(object: StoredObject, wanted: KongVersion, name: string): Snapshot {
  const corrupt = (why: string, cause?: unknown) =>
    new SnapshotError("SNAPSHOT_CORRUPT", `${name} ${why}`, { hint: CORRUPT_HINT, cause });
  let config = object.body;
  if (config.length === 0) throw corrupt("is empty");
  const metadata = verifyMetadata(object.metadata, wanted, name);
  if (metadata !== undefined) {
    config = withoutBlanks(object, metadata.bytes);
    if (metadata.bytes !== config.length) {
      throw corrupt(`has ${config.length} bytes where ${metadata.bytes} were saved`);
    }
    if (metadata.sha256 !== sha256(config)) {
      throw corrupt("does not have the SHA-256 digest it was saved with");
    }
  }
  try {
    checkDeclarativeConfig(config);
  } catch (cause) {
    throw corrupt(`is no Kong configuration: ${describeCause(cause)}`, cause);
  }
  return { config, metadata };
}

/** The body without just the blanks that the object's write id stands for; as it is if others, or none, follow. */
function withoutBlanks({ body, metadata }: StoredObject, configBytes: number): Uint8Array {
  const writeId = writeIdOf(metadata);
  if (writeId === undefined) return body;
  const hasBlanks = Buffer.compare(body.subarray(configBytes), blanksOf(writeId)) === 0;
  return hasBlanks ? body.subarray(0, configBytes) : body;
}
