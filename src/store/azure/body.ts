/** Bodies on their way to and from Azure, with their MD5: Azure checks it on the way up, we on the way down. */

import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import type { BlobDownloadResponseParsed } from "@azure/storage-blob";
import type { GetOptions, Key, StoredObject, Version } from "../port.ts";
import { fault, unavailable } from "../verdict.ts";
import { notAzure } from "./errors.ts";
import { fromBlobMetadata } from "./metadata.ts";
import type { AzureAttempt } from "./verdicts.ts";

const PIECE_BYTES = 64 * 1024;

export function md5(body: Uint8Array): Uint8Array {
  return createHash("md5").update(body).digest();
}

/** The body in pieces, so that one that is sent slowly is not taken for one that is not taken. */
export function outgoing(body: Uint8Array, moved: () => void): Readable {
  const whole = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const pieces = function* (): Generator<Buffer> {
    for (let at = 0; at < whole.length; at += PIECE_BYTES) {
      moved();
      yield whole.subarray(at, at + PIECE_BYTES);
    }
  };
  return Readable.from(pieces(), { objectMode: false });
}

/** A version is the ETag without its quotes; every write makes a new one. */
export function versionOf(etag: string | undefined, attempt: AzureAttempt): Version {
  if (etag === undefined || etag === "") throw notAzure(attempt, "an answer without an ETag");
  return bareETag(etag) as Version;
}

/** Without the quotes that HTTP puts around it. */
export function bareETag(etag: string): string {
  return etag.replace(/^"(.*)"$/, "$1");
}

/**
 * The object of a download: as many bytes as announced and of the announced MD5, otherwise
 * STORE_UNAVAILABLE; STORE_TOO_LARGE before anything is read where the length tells.
 */
export async function readObject(
  key: Key,
  answer: BlobDownloadResponseParsed,
  { maxBytes, onProgress }: GetOptions,
  attempt: AzureAttempt,
  moved: () => void,
): Promise<StoredObject> {
  const { readableStreamBody: stream, contentLength: bytes, contentMD5 } = answer;
  if (!(stream instanceof Readable) || bytes === undefined) {
    throw notAzure(attempt, "an answer without a body");
  }
  try {
    const version = versionOf(answer.etag, attempt);
    if (bytes > maxBytes) {
      throw fault(attempt, {
        code: "STORE_TOO_LARGE",
        why: `the object is ${bytes} bytes long, more than the ${maxBytes} allowed`,
        hint: "Raise the limit only if a config of this size is expected.",
      });
    }
    const body = Buffer.alloc(bytes);
    let received = 0;
    for await (const piece of stream as AsyncIterable<Buffer>) {
      moved();
      received += piece.copy(body, received);
      onProgress?.(received, bytes);
    }
    if (received !== bytes) throw damaged(attempt, `only ${received} of ${bytes} bytes arrived`);
    if (contentMD5 !== undefined && Buffer.compare(md5(body), contentMD5) !== 0) {
      throw damaged(attempt, "the bytes that arrived do not have the object's MD5");
    }
    return { key, version, bytes, body, metadata: fromBlobMetadata(answer.metadata) };
  } finally {
    // Gives up the connection of an answer that was not read to its end.
    stream.destroy();
  }
}

function damaged(attempt: AzureAttempt, why: string) {
  return fault(
    attempt,
    unavailable(
      why,
      "It is tried again later. If it lasts, look at the network or a proxy in between.",
    ),
  );
}
