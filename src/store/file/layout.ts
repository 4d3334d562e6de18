/** Where a directory keeps an object: its body as a plain file, all else in a hidden folder beside it. */

import { createHash } from "node:crypto";
import { join } from "node:path";
import { checkMetadata } from "../keys.ts";
import type { Key, Metadata, Version } from "../port.ts";
import { StoreError } from "../port.ts";

/** Folder of companions, locks and unfinished writes; one in each folder that holds objects. */
export const HIDDEN = ".kong-fallback";

export interface Place {
  readonly key: Key;
  /** Folder of the body. */
  readonly folder: string;
  /** Last segment of the key. */
  readonly name: string;
  /** The body's own file. */
  readonly body: string;
  /** `.kong-fallback` in the same folder, thus on the same file system: rename works between the two. */
  readonly hidden: string;
  /** While this folder exists and is not empty, somebody is writing the object. */
  readonly lock: string;
}

/** Throws STORE_BAD_KEY for a key that leads into a hidden folder. `key` has passed `checkKey`. */
export function locate(directory: string, key: Key): Place {
  const segments = key.split("/");
  refuseHidden(key);
  const name = segments.at(-1) ?? "";
  const folder = join(directory, ...segments.slice(0, -1));
  const hidden = join(folder, HIDDEN);
  return {
    key,
    folder,
    name,
    body: join(folder, name),
    hidden,
    lock: join(hidden, `${name}.lock`),
  };
}

/** Throws STORE_BAD_KEY if a segment of the key or prefix is the name of the hidden folder. */
export function refuseHidden(key: Key | ""): void {
  if (!key.split("/").includes(HIDDEN)) return;
  throw new StoreError(
    "STORE_BAD_KEY",
    `not usable in a directory: key ${JSON.stringify(key)} has a segment ${HIDDEN}, the name of the store's own folders`,
  );
}

/** File of the metadata of the body with this SHA-256 (lower-case hex): named by content, so that it fits no other body. */
export function companionOf(place: Place, digest: string): string {
  return join(place.hidden, `${place.name}.${digest}.json`);
}

/** Whether `file`, a name in the hidden folder, is a companion of the object, of whatever body. */
export function isCompanion(place: Place, file: string): boolean {
  const start = `${place.name}.`;
  return file.startsWith(start) && /^[0-9a-f]{64}\.json$/.test(file.slice(start.length));
}

/** JSON of one line: `{"bytes":7,"contentType":"application/json","metadata":{"name":"value"}}`. `bytes` is the body's length. */
export function encodeCompanion(
  bytes: number,
  contentType: string,
  metadata: Metadata,
): Uint8Array {
  return Buffer.from(`${JSON.stringify({ bytes, contentType, metadata })}\n`);
}

/** Length of the body a companion was written for; undefined where the companion is damaged. */
export function companionBytes(companion: Uint8Array): number | undefined {
  const { bytes } = parseCompanion(companion);
  return typeof bytes === "number" ? bytes : undefined;
}

/** Metadata of a companion; none where the file is damaged, so that the body stays usable without. */
export function decodeCompanion(bytes: Uint8Array): Metadata {
  const { metadata } = parseCompanion(bytes);
  if (!isObject(metadata) || !isTexts(metadata)) return {};
  try {
    checkMetadata(metadata);
    return metadata;
  } catch {
    // No metadata of ours: lost, like a missing companion.
    return {};
  }
}

/** Empty where it is no JSON object. */
function parseCompanion(companion: Uint8Array): { readonly [name: string]: unknown } {
  try {
    const value: unknown = JSON.parse(Buffer.from(companion).toString());
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

/** Changes with every change of body or companion. `companion` is empty where there is none. */
export function versionOf(digest: string, companion: Uint8Array): Version {
  return createHash("sha256").update(`${digest}\n`).update(companion).digest("hex") as Version;
}

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTexts(value: { readonly [name: string]: unknown }): value is Metadata {
  return Object.values(value).every((entry) => typeof entry === "string");
}
