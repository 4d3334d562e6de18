/** What counts as a config in a data plane's own prefix. Files: test/fixtures/lmdb/generate.sh */

import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, it } from "vitest";
import { LmdbFormatError, LmdbReader } from "../../src/importer/lmdb-reader.ts";
import { type LocalCache, readLocalCache } from "../../src/importer/local-cache.ts";
import type { KongVersion } from "../../src/kong/version.ts";
import { makeFifo } from "../fakes/fifo.ts";
import { ManualClock } from "../fakes/manual-clock.ts";

const HASH = "2b5a0ff71d2f8cf83f1a3fd1a5cfc1f7";
const FIXTURES = new URL("../fixtures/lmdb/", import.meta.url);
const signal = new AbortController().signal;
const clock = new ManualClock();

let prefix: string;
beforeEach(async () => {
  prefix = await mkdtemp(join(tmpdir(), "kong-prefix-"));
});
afterEach(() => rm(prefix, { recursive: true, force: true }));

const fixture = (name: string) => readFile(new URL(`${name}.mdb`, FIXTURES));

function look(version: string, until = signal, lmdbPath = "dbless.lmdb"): Promise<LocalCache> {
  const kongVersion = version as KongVersion;
  return readLocalCache(
    { prefixDir: prefix, lmdbPath, kongVersion, timeoutMs: 60_000, clock },
    until,
  );
}

async function withLmdb(file: Uint8Array, version: string): Promise<LocalCache> {
  await mkdir(join(prefix, "dbless.lmdb"), { recursive: true });
  await writeFile(join(prefix, "dbless.lmdb", "data.mdb"), file);
  return look(version);
}

function reasonOf(cache: LocalCache): string {
  assert.notEqual(cache.kind, "config");
  return cache.kind === "config" ? "" : cache.reason;
}

/** Without the right to look into `prefix`: root may look anywhere, so as root for a moment as somebody else. */
async function asNobody<T>(body: () => Promise<T>): Promise<T> {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65534);
  else await chmod(prefix, 0o000);
  try {
    return await body();
  } finally {
    if (isRoot) process.seteuid?.(0);
    else await chmod(prefix, 0o700);
  }
}

describe("local cache of Kong 3", () => {
  it("looks where Kong's lmdb_environment_path has it", async () => {
    const elsewhere = join(prefix, "elsewhere");
    await mkdir(elsewhere);
    await writeFile(join(elsewhere, "data.mdb"), await fixture("small-3.9"));
    for (const path of ["elsewhere", elsewhere]) {
      assert.equal((await look("3.9.1", signal, path)).kind, "config");
    }
    assert.equal((await look("3.9.1")).kind, "none");
  });

  it("finds a config and its hash", async () => {
    assert.deepEqual(await withLmdb(await fixture("small-3.9"), "3.9.1"), {
      kind: "config",
      path: join(prefix, "dbless.lmdb", "data.mdb"),
      configHash: HASH,
    });
  });

  it("finds it in a database of several pages", async () => {
    assert.equal((await withLmdb(await fixture("deep-3.9"), "3.9.1")).kind, "config");
  });

  it("accepts a database without a tag from Kong before 3.6, which wrote none", async () => {
    assert.equal((await withLmdb(await fixture("small-3.4"), "3.4.2")).kind, "config");
  });

  it("accepts the version that incremental sync stores instead of a hash", async () => {
    const file = await fixture("small-3.9");
    file.write(`v02_${"0".repeat(27)}7`, file.indexOf(HASH), "latin1");
    assert.equal((await withLmdb(file, "3.9.1")).kind, "config");
  });

  it.each([
    ["fresh-3.9", "3.9.1", "no config was ever applied"],
    ["empty-3.9", "3.9.1", "the config it holds is empty"],
    ["small-3.9", "3.8.0", "written by Kong 3.9; Kong 3.8 does not use it"],
    ["small-3.9", "3.10.0.1", "written by Kong 3.9; Kong 3.10 does not use it"],
    ["small-3.9", "3.4.2", "written by Kong 3.9; Kong 3.4 does not use it"],
    ["small-3.4", "3.6.1", "written by Kong before 3.6; Kong 3.6 does not use it"],
  ])("says no to %s for Kong %s", async (name, version, reason) => {
    assert.equal(reasonOf(await withLmdb(await fixture(name), version)), reason);
  });

  it("is not taken in by the hash of a config that was purged and still stands in a free page", async () => {
    const file = await fixture("purged-3.9");
    assert.ok(file.includes(HASH), "the fixture must hold the old hash");
    assert.equal(reasonOf(await withLmdb(file, "3.9.1")), "the config it holds is empty");
  });

  it("reads a sparse file of 3 GiB, too long to be read whole", async () => {
    await withLmdb(await fixture("small-3.9"), "3.9.1");
    await truncate(join(prefix, "dbless.lmdb", "data.mdb"), 3 * 2 ** 30);
    const cache = await look("3.9.1");
    assert.equal(cache.kind, "config");
  });

  it("says no to a folder that holds nothing", async () => {
    const cache = await look("3.9.1");
    assert.equal(reasonOf(cache), "no such file");
  });

  it("says no to files that are no database, and says so", async () => {
    const small = await fixture("small-3.9");
    const unknownVersion = Buffer.from(small);
    unknownVersion.writeUInt32LE(999, 20);
    for (const file of [
      Buffer.alloc(0),
      Buffer.alloc(32_768),
      small.subarray(0, 100),
      unknownVersion,
    ]) {
      const reason = reasonOf(await withLmdb(file, "3.9.1"));
      assert.equal(reason, "the file is no LMDB database of version 1");
    }
  });

  it("says no to a database cut off behind its first pages", async () => {
    const small = await fixture("small-3.9");
    assert.match(reasonOf(await withLmdb(small.subarray(0, 8192), "3.9.1")), /missing or damaged/);
  });

  it("survives any byte of the file being wrong", async () => {
    const small = await fixture("small-3.9");
    const read = async (path: string): Promise<string> => {
      try {
        await using reader = await LmdbReader.open(path);
        await reader.get("validation_tag");
        await reader.get("declarative_config:hash", "_default");
        return "read";
      } catch (error) {
        return error instanceof LmdbFormatError ? "refused" : String(error);
      }
    };
    const outcomes = new Set<string>();
    for (let offset = 0; offset < small.length; offset += 1) {
      if (small[offset] === 0) continue;
      const damaged = Buffer.from(small);
      damaged[offset] = 0xff;
      const path = join(prefix, "damaged.mdb");
      await writeFile(path, damaged);
      outcomes.add(await read(path));
    }
    assert.deepEqual([...outcomes].sort(), ["read", "refused"]);
  });

  it("gives a hanging file system up in time, and says so", async () => {
    await mkdir(join(prefix, "dbless.lmdb"));
    await using _ = await makeFifo(join(prefix, "dbless.lmdb", "data.mdb"));
    const cache = look("3.9.1");
    await clock.advance(60_000);
    assert.equal(reasonOf(await cache), "the file system did not answer within 60 s");
    assert.equal((await cache).kind, "unreadable");
  });

  it("says that it may not look", async () => {
    await withLmdb(await fixture("small-3.9"), "3.9.1");
    const cache = await asNobody(() => look("3.9.1"));
    assert.equal(cache.kind, "unreadable");
    assert.match(reasonOf(cache), /EACCES/);
    assert.equal(cache.kind === "unreadable" && cache.hint, "Run the importer as Kong's user.");
  });

  it("rejects with the reason of an abort", async () => {
    const reason = new Error("stop");
    const read = look("3.9.1", AbortSignal.abort(reason));
    await assert.rejects(read, (error) => error === reason);
  });
});

describe("local cache of Kong 2", () => {
  const table = Buffer.from('{"_format_version":"2.1","services":[{"name":"a"}]}');

  async function withGzip(bytes: Uint8Array): Promise<LocalCache> {
    await writeFile(join(prefix, "config.cache.json.gz"), bytes);
    return look("2.8.5");
  }

  it("finds a config", async () => {
    assert.deepEqual(await withGzip(gzipSync(table)), {
      kind: "config",
      path: join(prefix, "config.cache.json.gz"),
      configHash: undefined,
    });
  });

  it("says no to the empty file that Kong creates beforehand", async () => {
    assert.equal(reasonOf(await withGzip(Buffer.alloc(0))), "no config was ever applied");
  });

  it.each([
    ["a file cut off", gzipSync(table).subarray(0, 40)],
    ["a file that is not gzip", table],
    ["a gzip of nothing", gzipSync("")],
    ["a gzip of something else", gzipSync('{"services":[]}')],
  ])("says no to %s", async (_name, bytes) => {
    assert.match(reasonOf(await withGzip(bytes)), /^damaged: /);
  });

  it("does not look at the database of Kong 3", async () => {
    await withLmdb(await fixture("small-3.9"), "3.9.1");
    const cache = await look("2.8.5");
    assert.equal(reasonOf(cache), "no such file");
  });
});

describe("the LMDB reader", () => {
  it("finds every key of a tree with several levels, and no other", async () => {
    await using reader = await LmdbReader.open(new URL("deep-3.9.mdb", FIXTURES).pathname);
    for (let index = 0; index < 400; index += 1) {
      const id = `${String(index).padStart(8, "0")}-0000-4000-8000-000000000000`;
      const key = `services|6f2f0c1e-9d0b-4a3b-8a77-1d1f6f1d2a10|*|${id}`;
      assert.equal((await reader.get(key, "_default"))?.toString(), `value-${index}`);
    }
    assert.equal(await reader.get("services|nobody", "_default"), undefined);
    assert.equal(await reader.get("zzz", "_default"), undefined);
    assert.equal(await reader.get("a", "_other"), undefined);
  });

  it("does not go round in circles when a page names itself as its child", async () => {
    const file = await fixture("deep-3.9");
    for (let page = 2; page < file.length / 4096; page += 1) {
      const start = page * 4096;
      if (file.readUInt16LE(start + 10) !== 1) continue;
      const children = (file.readUInt16LE(start + 12) - 16) / 2;
      for (let child = 0; child < children; child += 1) {
        file.writeUIntLE(page, start + file.readUInt16LE(start + 16 + 2 * child), 6);
      }
    }
    const path = join(prefix, "loop.mdb");
    await writeFile(path, file);
    await using reader = await LmdbReader.open(path);
    await assert.rejects(reader.get("services|x", "_default"), /deeper than LMDB allows/);
  });
});
