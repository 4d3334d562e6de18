/** Snapshot metadata as the object metadata that travels with it; docs/format.md is its manual. */

import { isClusterId } from "../kong/declarative-config.ts";
import { decodeEntityCounts, encodeEntityCounts } from "../kong/entity-counts.ts";
import { parseKongVersion } from "../kong/version.ts";
import type { Metadata } from "../store/port.ts";
import { SnapshotError } from "./errors.ts";
import type { SnapshotMetadata } from "./snapshot.ts";

/** Value of `format`. The number changes only if older readers would misread what follows it. */
const FORMAT = "kong-fallback/1";

/** Name of the metadata that says why a config was held back; only in the history. */
export const HELD = "held";

/** Every value is printable ASCII; members that are undefined are left out. */
export function encodeMetadata(metadata: SnapshotMetadata): Metadata {
  const { clusterId, configHash, controlPlaneTimestamp, rehearsed } = metadata;
  const entities = metadata.entities && encodeEntityCounts(metadata.entities);
  const hashes = Object.entries(metadata.hashes)
    .map(([part, hash]) => `${part}=${hash}`)
    .join(",");
  return {
    format: FORMAT,
    "kong-version": metadata.kongVersion,
    ...(configHash === undefined ? {} : { "config-hash": configHash }),
    // Stores take no empty value.
    ...(hashes === "" ? {} : { hashes }),
    "hash-match": metadata.hashMatch,
    sha256: metadata.sha256,
    bytes: String(metadata.bytes),
    ...(controlPlaneTimestamp === undefined
      ? {}
      : // ngx.now() counts milliseconds.
        { "control-plane-timestamp": controlPlaneTimestamp.toFixed(3) }),
    "exported-at": metadata.exportedAt.toISOString(),
    "exporter-id": metadata.exporterId,
    "fencing-token": String(metadata.fencingToken),
    ...(rehearsed === undefined ? {} : { rehearsed: String(rehearsed) }),
    ...(entities === undefined ? {} : { entities }),
    ...(clusterId === undefined ? {} : { "cluster-id": clusterId }),
  };
}

/**
 * Undefined where the object carries no metadata of ours, as after a copy by hand. Throws
 * SnapshotError: SNAPSHOT_UNKNOWN_FORMAT for a format of the future, SNAPSHOT_CORRUPT where a value
 * cannot be read. `name` is the object, for the message.
 */
export function decodeMetadata(metadata: Metadata, name: string): SnapshotMetadata | undefined {
  const format = metadata["format"];
  if (format === undefined) return undefined;
  if (format !== FORMAT) {
    throw new SnapshotError(
      "SNAPSHOT_UNKNOWN_FORMAT",
      `${name} is of the format ${JSON.stringify(format.slice(0, 40))}; this program reads ${FORMAT}`,
      { hint: "Use a kong-fallback at least as new as the exporter." },
    );
  }
  const read = <T>(key: string, parse: (text: string) => T | undefined): T => {
    const text = metadata[key];
    const value = text === undefined ? undefined : parse(text);
    if (value !== undefined) return value;
    throw new SnapshotError(
      "SNAPSHOT_CORRUPT",
      `the metadata ${JSON.stringify(key)} of ${name} ${text === undefined ? "is missing" : "cannot be read"}`,
      {
        hint: "Copy the object with all of its metadata, restore a bucket version, or let an exporter write it again.",
      },
    );
  };
  const optional = <T>(key: string, parse: (text: string) => T | undefined): T | undefined =>
    metadata[key] === undefined ? undefined : read(key, parse);
  return {
    kongVersion: read("kong-version", parseKongVersion),
    configHash: optional("config-hash", matching(/^[0-9a-f]{32}$/)),
    hashes: optional("hashes", parseHashes) ?? {},
    hashMatch: read("hash-match", parseHashMatch),
    sha256: read("sha256", matching(/^[0-9a-f]{64}$/)),
    bytes: read("bytes", parseCount),
    clusterId: optional("cluster-id", (text) => (isClusterId(text) ? text : undefined)),
    controlPlaneTimestamp: optional("control-plane-timestamp", parseTimestamp),
    exportedAt: read("exported-at", parseDate),
    exporterId: read("exporter-id", matching(/^[\x21-\x7e]{1,128}$/)),
    fencingToken: read("fencing-token", parseCount),
    rehearsed: optional("rehearsed", parseFlag),
    entities: optional("entities", decodeEntityCounts),
  };
}

/** The fencing token alone, as of an object whose config is damaged; 0 where there is none that can be read. */
export function fencingTokenOf(metadata: Metadata): number {
  return parseCount(metadata["fencing-token"] ?? "") ?? 0;
}

function matching(pattern: RegExp): (text: string) => string | undefined {
  return (text) => (pattern.test(text) ? text : undefined);
}

function parseHashes(text: string): Readonly<Record<string, string>> | undefined {
  const entries = text.split(",").map((entry) => entry.split("="));
  const valid = entries.every(
    ([part = "", hash = ""]) => /^[a-z_]{1,32}$/.test(part) && /^[0-9a-f]{32}$/.test(hash),
  );
  return valid ? Object.fromEntries(entries) : undefined;
}

function parseHashMatch(text: string): SnapshotMetadata["hashMatch"] | undefined {
  return text === "true" || text === "false" || text === "unchecked" ? text : undefined;
}

function parseFlag(text: string): boolean | undefined {
  return text === "true" ? true : text === "false" ? false : undefined;
}

function parseCount(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function parseTimestamp(text: string): number | undefined {
  return /^\d{1,11}(\.\d{1,9})?$/.test(text) ? Number(text) : undefined;
}

function parseDate(text: string): Date | undefined {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
