/** Bodies on their way to and from Cloud Storage. */

import { randomUUID } from "node:crypto";
import { CRC32C } from "@google-cloud/storage";
import type { GetOptions } from "../port.ts";
import type { Attempt } from "./errors.ts";
import { fault } from "./errors.ts";
import type { GcsObject } from "./resources.ts";

/** A page of 1000 objects with the longest names (1024 bytes) has about 1.2 MB. */
const MAX_JSON_BYTES = 8 * 1024 * 1024;

/** Base64 of the big-endian CRC32C, as Cloud Storage writes it. */
export function crc32c(body: Uint8Array): string {
  const checksum = new CRC32C();
  checksum.update(Buffer.from(body.buffer, body.byteOffset, body.byteLength));
  return checksum.toString();
}

/** Resource and body in one upload. https://cloud.google.com/storage/docs/uploading-objects#uploading-an-object */
export function multipart(
  resource: { readonly contentType: string },
  body: Uint8Array,
): { readonly headers: Readonly<Record<string, string>>; readonly body: Buffer } {
  const boundary = randomUUID();
  const whole = Buffer.concat([
    Buffer.from(
      `--${boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n${JSON.stringify(resource)}\r\n` +
        `--${boundary}\r\nContent-Type: ${resource.contentType}\r\n\r\n`,
    ),
    body,
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ]);
  return {
    headers: {
      "Content-Type": `multipart/related; boundary=${boundary}`,
      "Content-Length": String(whole.length),
    },
    body: whole,
  };
}

/** A JSON answer or an error page; of one that is longer than any of those, the beginning. */
export async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > MAX_JSON_BYTES) break;
  }
  return Buffer.concat(pieces).toString("utf8");
}

/** The body of `object`, exactly as long as announced and with its CRC32C; otherwise STORE_UNAVAILABLE. */
export async function download(
  attempt: Attempt,
  body: AsyncIterable<Buffer>,
  object: GcsObject,
  onProgress: GetOptions["onProgress"],
): Promise<Uint8Array> {
  const { bytes, crc32c: expected } = object;
  const whole = Buffer.alloc(bytes);
  let received = 0;
  for await (const piece of body) {
    // Copies no more than there is room for.
    piece.copy(whole, received);
    received += piece.length;
    if (received > bytes) break;
    onProgress?.(received, bytes);
  }
  if (received !== bytes) {
    const came = received < bytes ? `only ${received}` : "more than the";
    throw damaged(attempt, `${came} of ${bytes} bytes arrived`);
  }
  if (expected !== undefined && crc32c(whole) !== expected) {
    throw damaged(attempt, "the bytes that arrived do not have the object's CRC32C");
  }
  return whole;
}

function damaged(attempt: Attempt, why: string) {
  return fault(attempt, "STORE_UNAVAILABLE", why, {
    hint: "It is tried again later. If it lasts, look at the network or a proxy in between.",
  });
}
