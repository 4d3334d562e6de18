/** Writes Kong's `reconfigure` payload around a saved config, as a control plane would send it. */

import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { isConfigHash } from "./config-parts.ts";
import type { ConfigUpdate } from "./reconfigure.ts";

/** A data plane of 2.8 does not fill in what is missing, so it gets all of them or none. Kong/kong@2.8.5 kong/clustering/data_plane.lua */
const HASHED_PARTS = ["config", "routes", "services", "plugins", "upstreams", "targets"] as const;

/** Compressed a piece at a time, off the event loop, and without a copy of the whole. */
const PIECE_BYTES = 1_048_576;

/**
 * One binary message: gzip of the payload, with the bytes of `configTable` as they are. What is
 * undefined is left out, and so is a hash that no data plane may get: zeros mean "no config" to it.
 */
export async function encodeReconfigure(update: ConfigUpdate): Promise<Buffer> {
  const compressed: Buffer[] = [];
  await pipeline(
    Readable.from(pieces(update)),
    createGzip({ chunkSize: PIECE_BYTES }),
    async (output: AsyncIterable<Buffer>) => {
      for await (const piece of output) compressed.push(piece);
    },
  );
  return Buffer.concat(compressed);
}

function* pieces(update: ConfigUpdate): Iterable<Uint8Array> {
  const { configTable } = update;
  yield Buffer.from(`${JSON.stringify(envelope(update)).slice(0, -1)},"config_table":`);
  for (let start = 0; start < configTable.length; start += PIECE_BYTES) {
    yield configTable.subarray(start, start + PIECE_BYTES);
  }
  yield Buffer.from("}");
}

/** All members but `config_table`. */
function envelope({ configHash, hashes, timestamp }: ConfigUpdate): object {
  const hasAllHashes = HASHED_PARTS.every((part) => hashes[part] !== undefined);
  return {
    type: "reconfigure",
    ...(timestamp === undefined ? {} : { timestamp }),
    ...(isConfigHash(configHash) ? { config_hash: configHash } : {}),
    ...(hasAllHashes ? { hashes } : {}),
  };
}
