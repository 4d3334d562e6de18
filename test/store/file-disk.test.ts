/** What the directory store asks of the disk: which bytes it reads, and what is on it, in which order, before a put resolves. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { copyFile, mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, it, vi } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { companionOf, filesOf } from "../../src/store/file/layout.ts";
import { FileStore } from "../../src/store/file.ts";
import { get, headOf, list, never, put, sha256 } from "./conformance/client.ts";

const MIB = 1024 * 1024;

let directory: string;
let store: FileStore;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "file-store-"));
  store = storeIn(directory);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

function storeIn(at: string): FileStore {
  return new FileStore({ url: `file://${at}`, directory: at, clock: systemClock });
}

/** By all of this process, from files and pipes. */
async function bytesRead(): Promise<number> {
  return Number(/rchar: (\d+)/.exec(await readFile("/proc/self/io", "utf8"))?.[1]);
}

describe.skipIf(!existsSync("/proc/self/io"))("what the directory store reads", () => {
  const BODIES = 8;
  const keys = Array.from({ length: BODIES }, (_, place) => `history/${place}`);

  async function reads(work: () => Promise<unknown>): Promise<number> {
    const before = await bytesRead();
    await work();
    return (await bytesRead()) - before;
  }

  beforeEach(async () => {
    for (const key of keys) await put(store, key, randomBytes(4 * MIB), { key });
  });

  it("is no body in a listing, a head, a conditional put, or a conditional get of what has not changed", async () => {
    const other = storeIn(directory);
    const read = await reads(async () => {
      assert.deepEqual(
        (await list(other, "history")).map(({ key, bytes }) => ({ key, bytes })),
        keys.map((key) => ({ key, bytes: 4 * MIB })),
      );
      for (const key of keys) {
        const { version, metadata } = await other.head(key, never);
        assert.deepEqual({ ...metadata }, { key });
        assert.equal(await other.getIfChanged(key, version, { maxBytes: 1 }, never), undefined);
      }
      const { version } = await other.head("history/0", never);
      await put(other, "history/0", "58 bytes", {}, { ifVersion: version });
    });
    assert.ok(read < 2 * MIB, `${read} bytes for ${BODIES * 4} MiB of history`);
  });

  it("is one body in a get of one", async () => {
    const read = await reads(() => get(store, "history/3"));
    assert.ok(read >= 4 * MIB && read < 6 * MIB, `${read} bytes`);
  });

  it("is no body of a directory that was copied with its times", async () => {
    const copy = `${directory}-copy`;
    await promisify(execFile)("cp", ["-a", directory, copy]);
    try {
      const expected = await list(store, "");
      const read = await reads(async () =>
        assert.deepEqual(await list(storeIn(copy), ""), expected),
      );
      assert.ok(read < 2 * MIB, `${read} bytes`);
    } finally {
      await rm(copy, { recursive: true });
    }
  });

  it("is only that body which was put there by hand, of which a listing and a head say what a get says", async () => {
    await writeFile(join(directory, "history/2"), randomBytes(3 * MIB));
    await copyFile(join(directory, "history/4"), join(directory, "history/5"));
    const read = await reads(() => list(store, "history"));
    assert.ok(read >= 7 * MIB && read < 9 * MIB, `${read} bytes`);
    const listed = await list(store, "history");
    for (const [place, key] of keys.entries()) {
      const object = await get(store, key);
      assert.deepEqual(headOf(await store.head(key, never)), headOf(object));
      assert.equal(listed[place]?.version, object.version);
    }
    assert.deepEqual({ ...(await store.head("history/2", never)).metadata }, {});
  });
});

describe("a body that has rotted under its length and time of change", () => {
  it("is of one version to all who ask, so that it can be replaced on condition", async () => {
    await put(store, "a", "as it was", { n: "1" });
    const path = join(directory, "a");
    const { atime, mtime } = await stat(path);
    const { mtimeNs } = await stat(path, { bigint: true });
    await writeFile(path, "as it wa$");
    await using file = await open(path, "r+");
    await file.utimes(atime, Number(mtimeNs / 1000n) / 1e6);
    assert.equal((await stat(path)).mtime.getTime(), mtime.getTime());
    const object = await get(store, "a");
    assert.equal(new TextDecoder().decode(object.body), "as it wa$");
    // Whoever knows the digest of what was saved can tell.
    assert.deepEqual({ ...object.metadata }, { n: "1" });
    assert.deepEqual(headOf(await store.head("a", never)), headOf(object));
    await put(store, "a", "anew", {}, { ifVersion: object.version });
  });
});

describe("what is on the disk before a put resolves", () => {
  it("is body, companion, the companion's name and the body's name, in this order", async () => {
    await put(store, "dir/a", "old", { n: "1" });
    const files = filesOf(directory, "dir/a");
    const inodes = new Map<number, string>([
      [(await stat(files.folder)).ino, "folder of the body"],
      [(await stat(files.hidden)).ino, "folder of the companion"],
    ]);
    const body = "a new body";
    const companion = companionOf(files, sha256(new TextEncoder().encode(body)));
    const synced: unknown[] = [];
    await using handle = await open(files.body, "r");
    const prototype = Object.getPrototypeOf(handle) as FileHandle;
    const { sync } = prototype;
    vi.spyOn(prototype, "sync").mockImplementation(async function (this: FileHandle) {
      const { ino, size } = await this.stat();
      const what = inodes.get(ino) ?? (size === body.length ? "body" : "companion");
      const isNew = (await readFile(files.body, "utf8")) === body;
      synced.push([what, existsSync(companion) ? "companion" : "", isNew ? "body" : ""]);
      return sync.call(this);
    });
    await put(store, "dir/a", body, { n: "2" });
    vi.restoreAllMocks();
    assert.deepEqual(synced, [
      ["body", "", ""],
      ["companion", "", ""],
      ["folder of the companion", "companion", ""],
      ["folder of the body", "companion", "body"],
    ]);
  });
});
