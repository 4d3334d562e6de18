/** What became of a conditional write whose connection broke before an answer was read. */

import type { HeadObjectCommandOutput } from "@aws-sdk/client-s3";
import type { Metadata, Precondition } from "../port.ts";
import { bareETag } from "./etag.ts";

/** The write, as far as it can be told by a look at the object. */
export interface CutOffWrite {
  readonly bytes: number;
  readonly metadata: Metadata;
  readonly when: Precondition;
}

/** Whether the connection broke: Node's codes for a reset, and for writing after one. */
export function isCutOff(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "ECONNRESET" || code === "EPIPE";
}

/**
 * Whether the write lost against the object that lies there now: its condition does not hold, and
 * the object is not what was to be written. A server may refuse a large body while it still arrives,
 * and close; Node then tells of the reset and drops the answer that came before it (seen with MinIO
 * RELEASE.2025-09-07T16-13-09Z). False as long as the write may be the one that lies there, or may
 * still take effect: then nobody knows, and the error stands. The ETag is compared with one that the
 * server gave, never with an MD5 of the body: under SSE-KMS and SSE-C it is none.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
 */
export function hasLost(write: CutOffWrite, there: HeadObjectCommandOutput): boolean {
  if ("ifVersion" in write.when && bareETag(there.ETag ?? "") === write.when.ifVersion) {
    return false;
  }
  const metadata = Object.entries(write.metadata);
  const isOurs =
    there.ContentLength === write.bytes &&
    metadata.every(([name, value]) => there.Metadata?.[name] === value);
  return !isOurs;
}
