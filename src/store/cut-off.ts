/** What became of a conditional write whose connection broke before an answer was read. */

import type { Metadata, Precondition } from "./port.ts";

/** The write, as far as it can be told by a look at the object. */
export interface CutOffWrite {
  readonly bytes: number;
  readonly metadata: Metadata;
  readonly when: Precondition;
}

/** What lies there now; undefined: the server does not say. */
export interface ThereNow {
  readonly version: string | undefined;
  readonly bytes: number | undefined;
  readonly metadata: Metadata | undefined;
}

/**
 * Whether the write lost against the object that lies there now: its condition does not hold, and
 * the object is not what was to be written. A server may refuse a large body while it still arrives,
 * and close; Node then tells of the reset and drops the answer that came before it (seen with MinIO
 * RELEASE.2025-09-07T16-13-09Z). False as long as the write may be the one that lies there, or may
 * still take effect: then nobody knows, and the error stands. The version is compared with one that
 * the server gave, never with an MD5 of the body: under SSE-KMS and SSE-C an ETag of S3 is none.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
 */
export function hasLost({ bytes, metadata, when }: CutOffWrite, there: ThereNow): boolean {
  if ("ifVersion" in when && there.version === when.ifVersion) return false;
  const isOurs =
    there.bytes === bytes &&
    Object.entries(metadata).every(([name, value]) => there.metadata?.[name] === value);
  return !isOurs;
}
