/** Whether a data plane's own prefix already holds a config, which is then newer than, or as good as, any snapshot. */

import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import type { Clock } from "../core/clock.ts";
import { describeCause } from "../core/errors.ts";
import { within } from "../core/waiting.ts";
import { checkDeclarativeConfig } from "../kong/declarative-config.ts";
import type { KongVersion } from "../kong/version.ts";
import { LmdbFormatError, LmdbReader } from "./lmdb-reader.ts";

/**
 * - `config`: Kong will start with what lies there.
 * - `none`: Kong would start empty; `reason` says what is missing or why Kong would throw it away.
 * - `unreadable`: we cannot look; `reason` says why. Kong itself may well find a config there.
 */
export type LocalCache =
  | { readonly kind: "config"; readonly path: string; readonly configHash: string | undefined }
  | { readonly kind: "none"; readonly path: string; readonly reason: string }
  | {
      readonly kind: "unreadable";
      readonly path: string;
      readonly reason: string;
      readonly hint: string;
    };

export interface LocalCacheOptions {
  /** Kong's `prefix`, mounted. */
  readonly prefixDir: string;
  /** Kong's `lmdb_environment_path`: below the prefix, or absolute. */
  readonly lmdbPath: string;
  readonly kongVersion: KongVersion;
  /** For the file system to answer, milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** Kong/kong@3.9.1 kong/constants.lua: DECLARATIVE_HASH_KEY; kong/db/declarative/import.lua sets it with every config. */
const HASH_KEY = "declarative_config:hash";
/** Kong/lua-resty-lmdb lib/resty/lmdb/transaction.lua: the database Kong's keys lie in. */
const DATABASE = "_default";
/** Kong/lua-resty-lmdb src/ngx_lua_resty_lmdb_module.c: in the unnamed database, out of reach of `db_drop`. */
const TAG_KEY = "validation_tag";
/** Far above what a 2.8 data plane could hold; its shared dictionary has 128 MiB by default. */
const LARGEST_CACHE_BYTES = 1024 * 1024 * 1024;

const gunzipAsync = promisify(gunzip);

/**
 * Looks into `prefixDir` while Kong of version `kongVersion` is not running. In doubt the answer is not `config`: a wrong `config` would leave an empty data plane
 * empty, a wrong `none` only starts it with a slightly older config. So the existence of files
 * proves nothing (an empty Kong creates them too); the config itself must be found. Rejects only
 * on abort, with `signal.reason`.
 */
export async function readLocalCache(
  { prefixDir, lmdbPath, kongVersion, timeoutMs, clock }: LocalCacheOptions,
  signal: AbortSignal,
): Promise<LocalCache> {
  const [major = 0, minor = 0] = kongVersion.split(".").map(Number);
  const path =
    major >= 3
      ? join(resolve(prefixDir, lmdbPath), "data.mdb")
      : join(prefixDir, "config.cache.json.gz");
  const late = () => new Hanging(`the file system did not answer within ${timeoutMs / 1000} s`);
  try {
    return await within({ ms: timeoutMs, clock, late }, signal, (both) =>
      major >= 3 ? readLmdb(path, major, minor) : readGzip(path, both),
    );
  } catch (error) {
    signal.throwIfAborted();
    return explain(path, error);
  }
}

/** Kong 3.0 and later. The hash is absent before the first config, and all zeros for an empty one. */
async function readLmdb(path: string, major: number, minor: number): Promise<LocalCache> {
  await using database = await LmdbReader.open(path);
  const tag = (await database.get(TAG_KEY))?.toString("latin1");
  const expected = `${major}.${minor}`;
  // Since 3.6 Kong wipes the database at start unless the tag is there and its own: Kong/kong@3.9.1 kong/conf_loader/constants.lua
  const isTagged = major > 3 || minor >= 6;
  if (tag === undefined ? isTagged : tag !== expected) {
    const writer = tag === undefined ? "Kong before 3.6" : `Kong ${printable(tag)}`;
    return { kind: "none", path, reason: `written by ${writer}; Kong ${expected} does not use it` };
  }
  const hash = (await database.get(HASH_KEY, DATABASE))?.toString("latin1");
  if (hash === undefined) return { kind: "none", path, reason: "no config was ever applied" };
  // 32 hex digits, or `v02_` and 28 of them after an incremental sync.
  if (!/^(v02_[0-9a-f]{28}|[0-9a-f]{32})$/.test(hash)) {
    return { kind: "none", path, reason: "the hash it holds is none of Kong's" };
  }
  if (/^(v02_)?0+$/.test(hash))
    return { kind: "none", path, reason: "the config it holds is empty" };
  return { kind: "config", path, configHash: hash };
}

/** Kong 2: gzip of the bare `config_table`, empty until the first one. Kong/kong@2.8.5 kong/clustering/data_plane.lua */
async function readGzip(path: string, signal: AbortSignal): Promise<LocalCache> {
  const packed = await readFile(path, { signal });
  if (packed.length === 0) return { kind: "none", path, reason: "no config was ever applied" };
  checkDeclarativeConfig(await gunzipAsync(packed, { maxOutputLength: LARGEST_CACHE_BYTES }));
  return { kind: "config", path, configHash: undefined };
}

class Hanging extends Error {}

function explain(path: string, error: unknown): LocalCache {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOENT" || code === "ENOTDIR") {
    return { kind: "none", path, reason: "no such file" };
  }
  const reason = describeCause(error);
  if (error instanceof Hanging || code === "EIO" || code === "ESTALE") {
    return { kind: "unreadable", path, reason, hint: "See what is wrong with the disk it is on." };
  }
  if (code === "EACCES" || code === "EPERM") {
    return { kind: "unreadable", path, reason, hint: "Run the importer as Kong's user." };
  }
  const what = error instanceof LmdbFormatError ? "" : "damaged: ";
  return { kind: "none", path, reason: what + reason };
}

function printable(tag: string): string {
  return tag.replace(/[^\x21-\x7e]/g, "?").slice(0, 16);
}
