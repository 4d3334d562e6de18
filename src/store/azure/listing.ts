/** Reads one page of a flat listing. */

import type { ContainerListBlobFlatSegmentResponse } from "@azure/storage-blob";
import { isKey } from "../keys.ts";
import type { ObjectInfo } from "../port.ts";
import { fault, unavailable } from "../verdict.ts";
import { versionOf } from "./body.ts";
import { notAzure } from "./errors.ts";
import { isFolder } from "./metadata.ts";
import type { AzureAttempt } from "./verdicts.ts";

export interface Page {
  /** In the order of the server. */
  readonly objects: readonly ObjectInfo[];
  /** Token of the page that follows; undefined on the last. */
  readonly next: string | undefined;
}

export interface Asked {
  readonly container: string;
  /** The store's prefix with its `/`, to be taken off names; `""` for the whole container. */
  readonly base: string;
  /** What every name must begin with. */
  readonly below: string;
  /** Token of this page; undefined for the first. */
  readonly token: string | undefined;
}

/** `page` is undefined where the answer held none. */
export function readPage(
  page: ContainerListBlobFlatSegmentResponse | undefined,
  { container, base, below, token }: Asked,
  attempt: AzureAttempt,
): Page {
  // Any XML, such as a web page, parses as a listing of nothing.
  if (page?.containerName !== container) throw notAzure(attempt, "an answer that is no listing");
  const next = page.continuationToken === "" ? undefined : page.continuationToken;
  if (next !== undefined && next === token) {
    throw fault(attempt, unavailable("the listing does not go on"));
  }
  const objects: ObjectInfo[] = [];
  for (const { name, properties, metadata } of page.segment.blobItems) {
    const key = name.slice(base.length);
    // No key: a folder marker of some tool, or an object nobody could ask this store for.
    if (!name.startsWith(below) || !isKey(key) || isFolder(metadata)) continue;
    const version = versionOf(properties.etag, attempt);
    objects.push({ key, version, bytes: properties.contentLength ?? 0 });
  }
  return { objects, next };
}

/** The order that the port promises: by the bytes of UTF-8. */
export function byKey(one: ObjectInfo, other: ObjectInfo): number {
  return Buffer.compare(Buffer.from(one.key), Buffer.from(other.key));
}
