/** Makes an object of a GetObject answer, and believes no length it has not counted. */

import { Readable } from "node:stream";
import type { GetObjectCommandOutput, HeadObjectCommandOutput } from "@aws-sdk/client-s3";
import type { GetOptions, Key, ObjectHead, StoredObject } from "../port.ts";
import { fault } from "../verdict.ts";
import { notS3 } from "./errors.ts";
import { versionOf } from "./etag.ts";
import type { S3Attempt } from "./verdicts.ts";

/** Rejects as `readBody` does. */
export async function readObject(
  key: Key,
  answer: GetObjectCommandOutput,
  options: GetOptions,
  attempt: S3Attempt,
): Promise<StoredObject> {
  const version = versionOf(answer.ETag, attempt);
  const body = await readBody(answer, options, attempt);
  return { key, version, bytes: body.byteLength, body, metadata: answer.Metadata ?? {} };
}

/** STORE_MISCONFIGURED where the answer lacks what every S3 server tells. */
export function readHead(
  key: Key,
  { ETag, ContentLength: bytes, Metadata: metadata = {} }: HeadObjectCommandOutput,
  attempt: S3Attempt,
): ObjectHead {
  if (bytes === undefined) throw notS3(attempt, "an answer without a length");
  return { key, version: versionOf(ETag, attempt), bytes, metadata };
}

/**
 * All bytes, as many as Content-Length announced: otherwise STORE_UNAVAILABLE. STORE_TOO_LARGE as
 * soon as it is known that there are more than `maxBytes`. The connection is given up on any failure.
 */
export async function readBody(
  answer: GetObjectCommandOutput,
  { maxBytes, onProgress }: GetOptions,
  attempt: S3Attempt,
): Promise<Uint8Array> {
  const { Body: stream, ContentLength: announced } = answer;
  if (!(stream instanceof Readable)) throw notS3(attempt, "an answer without a body");
  const tooLarge = (bytes: string) =>
    fault(attempt, {
      code: "STORE_TOO_LARGE",
      why: `the object is ${bytes} bytes long, more than the ${maxBytes} allowed`,
      hint: "Raise the cap only if a config of this size is expected.",
    });
  if (announced !== undefined && announced > maxBytes) {
    stream.destroy();
    throw tooLarge(String(announced));
  }
  const chunks: Uint8Array[] = [];
  let received = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    received += chunk.byteLength;
    if (received > maxBytes) throw tooLarge(`at least ${received}`);
    chunks.push(chunk);
    onProgress?.(received, announced);
  }
  if (announced !== undefined && received !== announced) {
    throw fault(attempt, {
      code: "STORE_UNAVAILABLE",
      why: `the answer ended after ${received} of ${announced} bytes`,
      hint: "Nothing to change here unless it lasts: look at the store, and at proxies on the way.",
    });
  }
  return Buffer.concat(chunks, received);
}

/** Gives the connection up, so that the rest of the body is not sent. */
export function dropBody({ Body: stream }: GetObjectCommandOutput): void {
  if (stream instanceof Readable) stream.destroy();
}
