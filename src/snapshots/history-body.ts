/** A config as it lies in the history: gzip, unpacked with distrust. */

import { promisify } from "node:util";
import { createGunzip, gzip } from "node:zlib";
import { SnapshotError } from "./errors.ts";

const gzipAsync = promisify(gzip);

/** Node hands over the output in pieces of this size, one turn of the event loop each; its default of 16 KiB is slow for megabytes. */
const CHUNK_BYTES = 1_048_576;

export function packConfig(config: Uint8Array): Promise<Uint8Array> {
  return gzipAsync(config, { chunkSize: CHUNK_BYTES });
}

/** No body that `packConfig` makes of a config of this length is longer: gzip adds 5 bytes per 16 kB to what it cannot shorten, and 18. */
export function maxPackedBytes(configBytes: number): number {
  return configBytes + Math.ceil(configBytes / 1024) + 1024;
}

/**
 * Throws SNAPSHOT_CORRUPT: for no whole gzip data, for anything after it, and as soon as more than
 * `maxBytes` come out. `name` is the object with its store, for messages.
 */
export async function unpackConfig(
  body: Uint8Array,
  maxBytes: number,
  name: string,
): Promise<Uint8Array> {
  const corrupt = (why: string, cause?: unknown) =>
    new SnapshotError("SNAPSHOT_CORRUPT", `${name} ${why}`, {
      hint: "Use another one of the history: kong-fallback snapshots list.",
      cause,
    });
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  try {
    gunzip.end(body);
    for await (const piece of gunzip) {
      const unpacked: Uint8Array = piece;
      bytes += unpacked.length;
      if (bytes > maxBytes) break;
      pieces.push(unpacked);
    }
  } catch (cause) {
    throw corrupt("is not gzip, or is truncated or damaged", cause);
  }
  if (bytes > maxBytes) throw corrupt(`unpacks to more than ${maxBytes} bytes`);
  // Node takes no notice of what follows.
  if (gunzip.bytesWritten !== body.length)
    throw corrupt("has data after the end of its gzip stream");
  return Buffer.concat(pieces, bytes);
}
