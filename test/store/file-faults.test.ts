/** The directory store when the disk is full, read-only, forbidden or not a directory. */

import assert from "node:assert/strict";
import { chmod, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { FileStore } from "../../src/store/file.ts";
import { titled } from "../servers/locate.ts";
import { failsWith, get, keys, never, put, text } from "./conformance/client.ts";
import type { Outcome, Step } from "./file-child.ts";
import { PRIVATE_MOUNTS, Workshop, whyNoMounts } from "./file-process.ts";

const noMounts = await whyNoMounts();

let workshop: Workshop;
let count = 0;
beforeAll(async () => {
  workshop = await Workshop.open();
});
afterAll(() => workshop[Symbol.asyncDispose]());

async function freshDirectory(): Promise<string> {
  count += 1;
  const directory = join(workshop.directory, `store-${count}`);
  await mkdir(directory);
  return directory;
}

function open(directory: string): FileStore {
  return new FileStore({ url: `file://${directory}`, directory, clock: systemClock });
}

function failure(outcome: Outcome | undefined): { code: string; message: string; hint: string } {
  assert.ok(outcome !== undefined && "code" in outcome, JSON.stringify(outcome));
  return { ...outcome, hint: outcome.hint ?? "" };
}

function value(outcome: Outcome | undefined): unknown {
  assert.ok(outcome !== undefined && "value" in outcome, JSON.stringify(outcome));
  return outcome.value;
}

function files(outcome: Outcome | undefined): string[] {
  const all = value(outcome) as string[];
  return all.filter((path) => !/^filler$|\.kong-fallback$|\.json$/.test(path));
}

describe("a directory without room", () => {
  const script: Step[] = [
    ["put", "a", 200_000],
    ["put", "a", 700_000],
    ["get", "a"],
    ["files"],
    ["fill"],
    ["put", "b", 1],
    ["get", "a"],
    ["delete", "a"],
    ["files"],
    ["put", "a", 100_000],
    ["get", "a"],
  ];

  it.skipIf(noMounts)(
    titled("keeps the old object, leaves no temporary file, and can still delete", noMounts),
    async () => {
      const directory = await freshDirectory();
      const outcomes = await workshop.stepsAfter(
        'mount -t tmpfs -o size=800k tmpfs "$dir"',
        directory,
        script,
        PRIVATE_MOUNTS,
      );
      const [first, tooMuch, old, left, , nothingFits, stillOld, deleted, gone, again, got] =
        outcomes;
      assert.equal(value(first), 200_000);
      const full = failure(tooMuch);
      assert.equal(full.code, "STORE_FULL");
      assert.match(full.message, /could not put "a" in .*: no space is left .*\(ENOSPC at write/);
      assert.match(full.hint, /Free space/);
      assert.equal(value(old), "200000");
      assert.deepEqual(files(left), ["a"]);
      assert.equal(failure(nothingFits).code, "STORE_FULL");
      assert.equal(value(stillOld), "200000");
      assert.equal(value(deleted), null);
      assert.deepEqual(files(gone), []);
      assert.equal(value(again), 100_000);
      assert.equal(value(got), "100000");
    },
  );

  it("keeps the old object when the process limit on file sizes is hit", async () => {
    const directory = await freshDirectory();
    const [first, tooMuch, old, left] = await workshop.stepsAfter("ulimit -f 1000", directory, [
      ["put", "a", 200_000],
      ["put", "a", 2_000_000],
      ["get", "a"],
      ["files"],
    ]);
    assert.equal(value(first), 200_000);
    const full = failure(tooMuch);
    assert.equal(full.code, "STORE_FULL");
    assert.match(full.message, /ulimit -f/);
    assert.equal(value(old), "200000");
    assert.deepEqual(files(left), ["a"]);
  });
});

describe("a directory that may not be written", () => {
  it.skipIf(noMounts)(
    titled("can be read and listed, and says that it is read-only", noMounts),
    async () => {
      const directory = await freshDirectory();
      await put(open(directory), "3.9.1/a", "old", { bytes: "3" });
      const [refused, old, listed, undeleted, missing] = await workshop.stepsAfter(
        'mount --bind "$dir" "$dir" && mount -o remount,bind,ro "$dir"',
        directory,
        [
          ["put", "3.9.1/a", 9],
          ["get", "3.9.1/a"],
          ["list"],
          ["delete", "3.9.1/a"],
          ["delete", "b"],
        ],
        PRIVATE_MOUNTS,
      );
      const { code, message, hint } = failure(refused);
      assert.equal(code, "STORE_DENIED");
      assert.match(
        message,
        /could not put "3\.9\.1\/a" in .*: its file system is read-only \(EROFS/,
      );
      assert.match(hint, /Mount it writable/);
      assert.equal(value(old), "3");
      assert.deepEqual(value(listed), ["3.9.1/a"]);
      assert.equal(failure(undeleted).code, "STORE_DENIED");
      assert.equal(value(missing), null);
    },
  );

  it("says that permission is missing, and where", async () => {
    const directory = await freshDirectory();
    await writeFile(join(directory, "a"), "by hand");
    await chmod(directory, 0o555);
    const [refused, readable] = await workshop.stepsUnprivileged(directory, [
      ["put", "b", 1],
      ["list"],
    ]);
    await chmod(directory, 0o755);
    const { code, message, hint } = failure(refused);
    assert.equal(code, "STORE_DENIED");
    assert.match(message, /permission denied \(EACCES at mkdir of .*\.kong-fallback\)/);
    assert.match(hint, /read and write access/);
    assert.deepEqual(value(readable), ["a"]);
  });

  it("says so when an object may not be read", async () => {
    const directory = await freshDirectory();
    await writeFile(join(directory, "a"), "secret", { mode: 0o000 });
    const [unreadable] = await workshop.stepsUnprivileged(directory, [["get", "a"]]);
    assert.equal(failure(unreadable).code, "STORE_DENIED");
  });
});

describe("a directory that is none", () => {
  it("is an empty store, and says so, while it is missing; reading makes nothing", async () => {
    const directory = join(await freshDirectory(), "not", "yet");
    const store = open(directory);
    const error = await failsWith("STORE_NOT_FOUND", get(store, "a"));
    assert.match(error.message, /the directory does not exist/);
    assert.match(error.hint ?? "", /check that the volume is mounted/);
    assert.deepEqual(await keys(store, ""), []);
    await store.delete("a", never);
    await assert.rejects(stat(join(directory, "..")), { code: "ENOENT" });
  });

  it("is misconfigured when it is a file", async () => {
    const directory = join(await freshDirectory(), "file");
    await writeFile(directory, "I am a file");
    const store = open(directory);
    const trials = [
      () => get(store, "a/b"),
      () => put(store, "a", "1"),
      () => put(store, "a/b", "1"),
      () => keys(store, ""),
    ];
    for (const trial of trials) {
      const error = await failsWith("STORE_MISCONFIGURED", trial());
      assert.match(error.message, /a file/);
      assert.ok(error.message.includes(directory), error.message);
      assert.match(error.hint ?? "", /Name a directory/);
    }
  });

  it("is misconfigured when a directory lies where an object is to be, and keeps it", async () => {
    const directory = await freshDirectory();
    const store = open(directory);
    await put(store, "a/b", "1");
    const error = await failsWith("STORE_MISCONFIGURED", put(store, "a", "2"));
    assert.match(error.message, /a directory stands where the object's file is to be/);
    await failsWith("STORE_MISCONFIGURED", put(store, "a/b/c", "2"));
    assert.deepEqual(await keys(store, ""), ["a/b"]);
    const left = await readdir(join(directory, ".kong-fallback"));
    assert.deepEqual(
      left.filter((name) => !name.endsWith(".json")),
      [],
    );
  });

  it("refuses keys of its own hidden folder, and names too long for a file", async () => {
    const store = open(await freshDirectory());
    for (const key of [".kong-fallback", "a/.kong-fallback/b"]) {
      await failsWith("STORE_BAD_KEY", get(store, key));
      await failsWith("STORE_BAD_KEY", put(store, key, "1"));
      await failsWith("STORE_BAD_KEY", store.delete(key, never));
      await failsWith("STORE_BAD_KEY", keys(store, key));
    }
    for (const name of ["x".repeat(186), "x".repeat(300)]) {
      await failsWith("STORE_BAD_KEY", put(store, name, "1"));
    }
    await put(store, "x".repeat(185), "1");
    assert.equal(await text(store, "x".repeat(185)), "1");
  });
});
