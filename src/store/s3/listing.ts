/** Reads one page of a ListObjectsV2 answer. */

import type { ListObjectsV2CommandOutput } from "@aws-sdk/client-s3";
import { checkKey } from "../keys.ts";
import type { ObjectInfo } from "../port.ts";
import { fault } from "../verdict.ts";
import { notS3 } from "./errors.ts";
import { versionOf } from "./etag.ts";
import type { S3Attempt } from "./verdicts.ts";

export interface Page {
  /** In the order of the server. */
  readonly objects: readonly ObjectInfo[];
  /** Token of the page that follows; undefined on the last. */
  readonly next: string | undefined;
}

export interface Asked {
  /** The store's prefix with its `/`, to be taken off names; `""` for the whole bucket. */
  readonly base: string;
  /** What every name must begin with. */
  readonly below: string;
  /** Token of this page; undefined for the first. */
  readonly token: string | undefined;
}

export function readPage(
  answer: ListObjectsV2CommandOutput,
  { base, below, token }: Asked,
  attempt: S3Attempt,
): Page {
  // Any XML, such as a web page, parses as a listing of nothing.
  if (answer.IsTruncated === undefined) throw notS3(attempt, "an answer that is no listing");
  const next = answer.IsTruncated ? answer.NextContinuationToken : undefined;
  if (answer.IsTruncated && (next === undefined || next === token)) {
    throw fault(attempt, {
      code: "STORE_UNAVAILABLE",
      why: "the listing does not go on: the server says that there is more, but not from where",
    });
  }
  const objects: ObjectInfo[] = [];
  for (const { Key: name = "", ETag, Size = 0 } of answer.Contents ?? []) {
    const key = name.slice(base.length);
    // No key: a folder marker of some console, or an object nobody could ask this store for.
    if (!name.startsWith(below) || !isKey(key)) continue;
    objects.push({ key, version: versionOf(ETag, attempt), bytes: Size });
  }
  return { objects, next };
}

function isKey(key: string): boolean {
  try {
    checkKey(key);
    return true;
  } catch {
    return false;
  }
}
