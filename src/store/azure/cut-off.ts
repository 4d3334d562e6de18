/** What became of a conditional write whose connection broke before an answer was read. */

import type { BlobGetPropertiesResponse } from "@azure/storage-blob";
import type { Metadata, Precondition } from "../port.ts";
import { toBlobMetadata } from "./metadata.ts";

/** The write, as far as it can be told by a look at the object. */
export interface CutOffWrite {
  readonly bytes: number;
  readonly metadata: Metadata;
  readonly when: Precondition;
}

/**
 * Whether the write lost against the object that lies there now: its condition does not hold, and
 * the object is not what was to be written. A server may refuse a large body while it still arrives,
 * and close; Node then tells of the reset and drops the answer that came before it. False as long as
 * the write may be the one that lies there, or may still take effect: then nobody knows, and the
 * error stands.
 */
export function hasLost(write: CutOffWrite, there: BlobGetPropertiesResponse): boolean {
  if ("ifVersion" in write.when && there.etag === `"${write.when.ifVersion}"`) return false;
  const metadata = Object.entries(toBlobMetadata(write.metadata));
  const isOurs =
    there.contentLength === write.bytes &&
    metadata.every(([name, value]) => there.metadata?.[name] === value);
  return !isOurs;
}
