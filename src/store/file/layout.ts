/** Where a directory keeps an object: its body as a plain file, all else in a hidden folder beside it. */

import { createHash } from "node:crypto";
import { join } from "node:path";
import { checkMetadata } from "../keys.ts";
import type { Key, Metadata, Version } from "../port.ts";
import { StoreError } from "../port.ts";

/** Folder of companions, locks and unfinished writes; one in each folder that holds objects. */
export const HIDDEN = ".kong-fallback";

/** Paths of one object. */
export interface ObjectFiles {
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
export function filesOf(directory: string, key: Key): ObjectFiles {
  const segments = key.split("/");
  refuseHidden(key);
  const name = segments.at(-1) ?? "";
  const folder = join(directory, ...segments.slice(0, -1));
  const hidden = join(folder, HIDDEN);
  const lock = join(hidden, `${name}.lock`);
  return { key, folder, name, body: join(folder, name), hidden, lock };
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
export function companionOf({ hidden, name }: ObjectFiles, digest: string): string {
  return join(hidden, `${name}.${digest}.json`);
}

/** The name of the object that `file`, a name in the hidden folder, is a companion of, and the digest of its body; undefined for what is no companion. */
export function parseCompanionName(
  file: string,
): { readonly name: string; readonly digest: string } | undefined {
  const [, name, digest] = /^(.+)\.([0-9a-f]{64})\.json$/s.exec(file) ?? [];
  return name === undefined || digest === undefined ? undefined : { name, digest };
}

/** What a companion says of its body. */
export interface Companion {
  /** Length of the body it was written for; undefined where the companion is damaged. */
  readonly bytes: number | undefined;
  /** When the body's file was last changed, nanoseconds since 1970: no two writes of the store give the same. */
  readonly mtimeNs: string | undefined;
  /** None where the companion is damaged, so that the body stays usable without. */
  readonly metadata: Metadata;
}

/** JSON of one line: `{"bytes":7,"mtimeNs":"1764543600123456789","contentType":"application/json","metadata":{"name":"value"}}`. */
export function encodeCompanion(
  body: { readonly bytes: number; readonly mtimeNs: bigint },
  contentType: string,
  metadata: Metadata,
): Uint8Array {
  const { bytes, mtimeNs } = body;
  return Buffer.from(
    `${JSON.stringify({ bytes, mtimeNs: `${mtimeNs}`, contentType, metadata })}\n`,
  );
}

export function parseCompanion(text: Uint8Array): Companion {
  const { bytes, mtimeNs, metadata } = parseObject(text);
  return {
    bytes: typeof bytes === "number" ? bytes : undefined,
    mtimeNs: typeof mtimeNs === "string" ? mtimeNs : undefined,
    metadata: parseMetadata(metadata),
  };
}

/** Changes with every change of body or companion. `companion` is empty where there is none. */
export function versionOf(digest: string, companion: Uint8Array): Version {
  return createHash("sha256").update(`${digest}\n`).update(companion).digest("hex") as Version;
}

function parseMetadata(metadata: unknown): Metadata {
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
function parseObject(text: Uint8Array): { readonly [name: string]: unknown } {
  try {
    const value: unknown = JSON.parse(Buffer.from(text).toString());
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function isObject(value: unknown): value is { readonly [name: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTexts(value: { readonly [name: string]: unknown }): value is Metadata {
  return Object.values(value).every((entry) => typeof entry === "string");
}
