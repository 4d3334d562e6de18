/** Kong's `reconfigure` payload: what a control plane sends when the config changed, read and written. */

import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { createGzip, unzip } from "node:zlib";
import { ServiceError } from "../core/errors.ts";
import { EMPTY_CONFIG_HASH, isConfigHash } from "./config-hash.ts";
import { checkDeclarativeConfig } from "./declarative-config.ts";
import { type JsonMember, JsonSyntaxError, jsonMembers } from "./json-members.ts";

/** A config as it arrived; `configTable` is a view of the exact bytes, never re-serialised. */
export interface ConfigUpdate {
  /** The value of `config_table`: Kong's declarative configuration, JSON. */
  readonly configTable: Uint8Array;
  /** Kong's hash of the config, 32 lower-case hex digits; undefined where none, or a malformed one, came. */
  readonly configHash: string | undefined;
  /** Kong's hashes by part (`config`, `routes`, `services`, ...), as given (zeros for an absent part); malformed ones left out. */
  readonly hashes: Readonly<Record<string, string>>;
  /** When the control plane made the payload: seconds since 1970 by its clock. */
  readonly timestamp: number | undefined;
  /** See ConfigOrigin. */
  readonly clusterId: string | undefined;
}

/** What a message says; the rest is in the config. */
export type Reconfigure = Omit<ConfigUpdate, "clusterId">;

/**
 * - `FRAME_NOT_GZIP`: the message is neither gzip nor zlib: not a Kong control plane, or a proxy that unpacks.
 * - `FRAME_CORRUPT`: compressed data is truncated or fails its check sum.
 * - `FRAME_TOO_LARGE`: unpacks to more than KONG_FALLBACK_MAX_CONFIG_BYTES; a decompression bomb, or a cap set too low.
 * - `FRAME_NOT_JSON`: unpacks to something that is not one JSON object.
 * - `FRAME_NOT_CONFIG`: a JSON object without a usable `config_table`, or of another `type`.
 */
export type FrameErrorCode =
  | "FRAME_NOT_GZIP"
  | "FRAME_CORRUPT"
  | "FRAME_TOO_LARGE"
  | "FRAME_NOT_JSON"
  | "FRAME_NOT_CONFIG";

export class FrameError extends ServiceError {
  readonly code: FrameErrorCode;
  readonly exitStatus = 4;

  constructor(
    code: FrameErrorCode,
    message: string,
    details: { cause?: unknown; hint?: string } = {},
  ) {
    super(message, { retryable: false, ...details });
    this.code = code;
  }
}

const unzipAsync = promisify(unzip);

/** Node hands over the output in pieces of this size, one turn of the event loop each; its default of 16 KiB is slow for megabytes. */
const CHUNK_BYTES = 1_048_576;

/**
 * Unpacks and reads one binary message. The order of the members and unknown members do not matter.
 * Throws FrameError, or DeclarativeConfigError if `config_table` is no declarative configuration.
 */
export async function decodeReconfigure(
  frame: Uint8Array,
  options: { /** Longest payload accepted once unpacked. */ readonly maxConfigBytes: number },
): Promise<ConfigUpdate> {
  const payload = await decompress(frame, options.maxConfigBytes);
  const members = readMembers(payload);
  const type = scalar(payload, members.get("type"));
  if (type !== "reconfigure") {
    throw new FrameError(
      "FRAME_NOT_CONFIG",
      `the control plane sent a message whose "type" is not "reconfigure" (${payload.length} bytes)`,
    );
  }
  const table = members.get("config_table");
  if (table === undefined || payload[table.start] !== 0x7b) {
    throw new FrameError(
      "FRAME_NOT_CONFIG",
      `the control plane sent a config whose "config_table" is ${table === undefined ? "missing" : "not an object"} (${payload.length} bytes)`,
    );
  }
  const configTable = payload.subarray(table.start, table.end);
  const { clusterId } = checkDeclarativeConfig(configTable);
  const configHash = scalar(payload, members.get("config_hash"));
  return {
    configTable,
    configHash: isConfigHash(configHash) ? configHash : undefined,
    hashes: readHashes(payload, members.get("hashes")),
    timestamp: readTimestamp(scalar(payload, members.get("timestamp"))),
    clusterId,
  };
}

/** Kong's own inflater takes gzip and zlib alike: hamishforbes/lua-ffi-zlib, windowBits 15 + 32. */
async function decompress(frame: Uint8Array, maxConfigBytes: number): Promise<Uint8Array> {
  if (!looksCompressed(frame)) {
    throw new FrameError(
      "FRAME_NOT_GZIP",
      `the control plane sent a message that is not gzip (${frame.length} bytes)`,
      { hint: "Check that KONG_CLUSTER_CONTROL_PLANE names Kong's cluster port itself." },
    );
  }
  try {
    return await unzipAsync(frame, { maxOutputLength: maxConfigBytes, chunkSize: CHUNK_BYTES });
  } catch (cause) {
    if (cause instanceof RangeError) {
      throw new FrameError(
        "FRAME_TOO_LARGE",
        `the control plane sent a config that unpacks from ${frame.length} to more than ${maxConfigBytes} bytes`,
        {
          cause,
          hint: "If the config really is that large, raise KONG_FALLBACK_MAX_CONFIG_BYTES.",
        },
      );
    }
    throw new FrameError(
      "FRAME_CORRUPT",
      `the control plane sent a message whose gzip data is truncated or damaged (${frame.length} bytes)`,
      { cause },
    );
  }
}

/** RFC 1952 2.3.1 (gzip) or RFC 1950 2.2 (zlib: deflate, header a multiple of 31). */
function looksCompressed(frame: Uint8Array): boolean {
  const [first = 0, second = 0] = frame;
  if (first === 0x1f && second === 0x8b) return true;
  return (first & 0x0f) === 8 && (first * 256 + second) % 31 === 0;
}

/** By key; of a key that stands twice the last counts, as for every JSON parser. */
function readMembers(payload: Uint8Array): ReadonlyMap<string, JsonMember> {
  try {
    return new Map(jsonMembers(payload).map((member) => [member.key, member]));
  } catch (cause) {
    if (!(cause instanceof JsonSyntaxError)) throw cause;
    throw new FrameError(
      "FRAME_NOT_JSON",
      `the control plane sent a message that is no JSON object (${payload.length} bytes): ${cause.message}`,
      { cause },
    );
  }
}

/** The value if it is a string, number, boolean or null; undefined for a missing member, an array or an object. */
function scalar(payload: Uint8Array, member: JsonMember | undefined): unknown {
  if (member === undefined) return undefined;
  const first = payload[member.start];
  return first === 0x7b || first === 0x5b ? undefined : parse(payload, member);
}

function readHashes(
  payload: Uint8Array,
  member: JsonMember | undefined,
): Readonly<Record<string, string>> {
  const value = member === undefined ? undefined : parse(payload, member);
  if (typeof value !== "object" || value === null) return {};
  const isPart = (entry: [string, unknown]): entry is [string, string] =>
    /^[a-z_]{1,32}$/.test(entry[0]) && (isConfigHash(entry[1]) || entry[1] === EMPTY_CONFIG_HASH);
  return Object.fromEntries(Object.entries(value).filter(isPart).slice(0, 16));
}

/** Kong sends a number; a data plane also takes a string: Kong/kong@3.9.1 kong/clustering/data_plane.lua. */
function readTimestamp(value: unknown): number | undefined {
  const seconds = typeof value === "string" ? Number(value) : value;
  return typeof seconds === "number" && Number.isFinite(seconds) && seconds > 0 && seconds < 1e11
    ? seconds
    : undefined;
}

function parse(payload: Uint8Array, member: JsonMember): unknown {
  return JSON.parse(Buffer.from(payload.subarray(member.start, member.end)).toString("utf8"));
}

/** A data plane of 2.8 does not fill in what is missing, so it gets all of them or none. Kong/kong@2.8.5 kong/clustering/data_plane.lua */
const HASHED_PARTS = ["config", "routes", "services", "plugins", "upstreams", "targets"] as const;

/** Compressed a piece at a time, off the event loop, and without a copy of the whole. */
const PIECE_BYTES = 1_048_576;

/**
 * One binary message: gzip of the payload, with the bytes of `configTable` as they are. What is
 * undefined is left out, and so is a hash that no data plane may get: zeros mean "no config" to it.
 */
export async function encodeReconfigure(update: Reconfigure): Promise<Buffer> {
  const compressed: Buffer[] = [];
  await pipeline(
    Readable.from(pieces(update)),
    createGzip({ chunkSize: PIECE_BYTES }),
    async (output: AsyncIterable<Buffer>) => {
      for await (const piece of output) compressed.push(piece);
    },
  );
  return Buffer.concat(compressed);
}

function* pieces(update: Reconfigure): Iterable<Uint8Array> {
  const { configTable } = update;
  yield Buffer.from(`${JSON.stringify(envelope(update)).slice(0, -1)},"config_table":`);
  for (let start = 0; start < configTable.length; start += PIECE_BYTES) {
    yield configTable.subarray(start, start + PIECE_BYTES);
  }
  yield Buffer.from("}");
}

/** All members but `config_table`. */
function envelope({ configHash, hashes, timestamp }: Reconfigure): object {
  const hasAllHashes = HASHED_PARTS.every((part) => hashes[part] !== undefined);
  return {
    type: "reconfigure",
    ...(timestamp === undefined ? {} : { timestamp }),
    ...(isConfigHash(configHash) ? { config_hash: configHash } : {}),
    ...(hasAllHashes ? { hashes } : {}),
  };
}
