/** The resources of the JSON API, parsed. https://cloud.google.com/storage/docs/json_api/v1/objects */

import type { Metadata, Version } from "../port.ts";

export interface GcsObject {
  readonly name: string;
  /** Decimal; a new one for every write of body or metadata together. */
  readonly generation: Version;
  /** Length of the body as stored, before any content encoding is undone. */
  readonly bytes: number;
  /** See ListedObject. */
  readonly putAt: Date | undefined;
  /** Base64 of the big-endian CRC32C of the body as stored; absent where an emulator leaves it out. */
  readonly crc32c: string | undefined;
  /** Stored with Content-Encoding gzip, as other tools may do; our own puts never are. */
  readonly gzipped: boolean;
  readonly metadata: Metadata;
}

export interface GcsPage {
  readonly objects: readonly GcsObject[];
  readonly nextPageToken: string | undefined;
}

export interface GcsApiError {
  readonly message: string;
  /** E.g. `rateLimitExceeded`; empty if none is given. */
  readonly reason: string;
}

/** The fields that every object has, for the `fields` parameter: enough for a listing. */
export const LISTED_FIELDS = "name,generation,size,updated";

/** The fields of an object that are read here. */
export const OBJECT_FIELDS = `${LISTED_FIELDS},crc32c,contentEncoding,metadata`;

/** Undefined if `text` is not an object resource. */
export function parseObject(text: string): GcsObject | undefined {
  return toObject(parseJson(text));
}

/** Undefined if `text` is not a page of a listing. */
export function parsePage(text: string): GcsPage | undefined {
  const json = parseJson(text);
  if (!isRecord(json)) return undefined;
  // A page without objects has no "items".
  const items = json["items"] ?? [];
  if (!Array.isArray(items)) return undefined;
  const objects = items.map(toObject).filter((object) => object !== undefined);
  if (objects.length < items.length) return undefined;
  return { objects, nextPageToken: textOf(json["nextPageToken"]) };
}

/** Undefined if `text` is not Google's error object `{"error":{"message","errors":[{"reason"}]}}`. */
export function parseApiError(text: string): GcsApiError | undefined {
  const json = parseJson(text);
  const error = isRecord(json) ? json["error"] : undefined;
  const message = isRecord(error) ? textOf(error["message"]) : undefined;
  if (!isRecord(error) || message === undefined) return undefined;
  const first: unknown = Array.isArray(error["errors"]) ? error["errors"][0] : undefined;
  return { message, reason: (isRecord(first) ? textOf(first["reason"]) : undefined) ?? "" };
}

/** True for what a delete answers: nothing, or `null` (fake-gcs-server). */
export function isEmptyAnswer(text: string): boolean {
  return text.trim() === "" || parseJson(text) === null;
}

function toObject(json: unknown): GcsObject | undefined {
  if (!isRecord(json)) return undefined;
  const name = textOf(json["name"]);
  const generation = textOf(json["generation"]);
  const size = textOf(json["size"]);
  if (name === undefined || generation === undefined || size === undefined) return undefined;
  if (!/^\d+$/.test(generation) || !/^\d+$/.test(size)) return undefined;
  const metadata = isRecord(json["metadata"]) ? json["metadata"] : {};
  return {
    name,
    generation: generation as Version,
    bytes: Number(size),
    putAt: dateOf(textOf(json["updated"])),
    crc32c: textOf(json["crc32c"]),
    gzipped: json["contentEncoding"] === "gzip",
    metadata: Object.fromEntries(
      Object.entries(metadata).flatMap(([key, value]) =>
        typeof value === "string" ? [[key, value]] : [],
      ),
    ),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON is one of the ways not to be the resource asked for.
    return undefined;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function dateOf(text: string | undefined): Date | undefined {
  const date = new Date(text ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
