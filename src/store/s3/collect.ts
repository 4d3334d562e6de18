/** Reads answers of S3 that the SDK wants whole (listings, errors), but not without end. */

import { Readable } from "node:stream";

/** A listing has 1000 entries at most, of some 1.5 kB at most. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;

/** In place of the SDK's `streamCollector`, which takes whatever comes. Rejects with Error, and gives the connection up, at the first byte too many. */
export async function collectAnswer(stream: unknown): Promise<Uint8Array> {
  if (!(stream instanceof Readable)) throw new Error("an answer without a body");
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) {
      throw new Error(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}
