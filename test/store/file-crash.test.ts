/** Writers of a directory store that are killed, paused, or race each other. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { watch } from "node:fs";
import {
  mkdir,
  mkdtemp,
  open as openFile,
  readdir,
  readFile,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, it, vi } from "vitest";
import type { Clock } from "../../src/core/clock.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import type { ObjectFiles } from "../../src/store/file/layout.ts";
import { filesOf } from "../../src/store/file/layout.ts";
import { Locks, STALE_MS } from "../../src/store/file/locks.ts";
import { Turn } from "../../src/store/file/turn.ts";
import { FileStore } from "../../src/store/file.ts";
import {
  bytes,
  failsWith,
  get,
  keys,
  never,
  put,
  rejectsWith,
  sha256,
  text,
} from "./conformance/client.ts";
import { Workshop } from "./file-process.ts";

let workshop: Workshop;
beforeAll(async () => {
  workshop = await Workshop.open();
});
afterAll(() => workshop[Symbol.asyncDispose]());

let directory: string;
let hidden: string;
let files: ObjectFiles;
beforeEach(async () => {
  directory = await mkdtemp(join(workshop.directory, "store-"));
  files = filesOf(directory, "dir/a");
  hidden = files.hidden;
});

/** Sleeping is the only thing that takes time, and takes none in truth; a beat never comes. `onSleep` is called before each sleep. */
function quickClock(onSleep: (nowMs: number) => Promise<void> = async () => {}): Clock {
  let nowMs = 0;
  return {
    now: () => new Date(nowMs),
    monotonicMs: () => nowMs,
    async sleep(ms, signal) {
      signal.throwIfAborted();
      if (ms >= 1000) await once(signal, "abort").then(() => signal.throwIfAborted());
      await onSleep(nowMs);
      nowMs += ms;
      await nextTurn();
      signal.throwIfAborted();
    },
  };
}

function open(clock: Clock = systemClock): FileStore {
  return new FileStore({ url: `file://${directory}`, directory, clock });
}

function turnBy(clock: Clock): Turn {
  return new Turn(files, clock, new Locks(clock));
}

/** Names in the hidden folder that are no companions: locks and unfinished writes. */
async function leftovers(): Promise<string[]> {
  return (await readdir(hidden)).filter((name) => !name.endsWith(".json"));
}

describe("a writer killed in the middle", () => {
  it("leaves the old object or the new one, with its own metadata, and lets the next put through", async () => {
    const store = open(quickClock());
    await put(store, "dir/a", "first", { sha256: sha256(bytes("first")) });
    let interrupted = 0;
    for (let events = 1; events <= 24; events += 1) {
      const child = workshop.start("overwrite", directory);
      const watcher = watch(hidden);
      for (let seen = 0; seen < events; seen += 1) await once(watcher, "change");
      child.kill("SIGKILL");
      watcher.close();
      await once(child, "close");
      if ((await leftovers()).length > 0) interrupted += 1;
      const { body, metadata } = await get(store, "dir/a");
      assert.equal(metadata["sha256"], sha256(body));
      const next = `after ${events}`;
      await put(store, "dir/a", next, { sha256: sha256(bytes(next)) });
      assert.equal(await text(store, "dir/a"), next);
    }
    assert.ok(interrupted > 5, `only ${interrupted} of 24 kills hit a put`);

    const old = new Date(Date.now() - 2 * 60 * 60 * 1000);
    for (const name of await leftovers()) await utimes(join(hidden, name), old, old);
    await put(store, "dir/a", "last");
    assert.deepEqual(await leftovers(), []);
    assert.equal((await readdir(hidden)).length, 1);
    // Two dozen processes, each of which takes a second to start where the machine is busy.
  }, 90_000);

  it("leaves at no step anything that the next writer waits for", async () => {
    const store = open();
    await put(store, "dir/a", "first", { sha256: sha256(bytes("first")) });
    const clock = quickClock();
    let killed = 0;
    for (let step = 1; ; step += 1) {
      const child = workshop.start("put-until", directory, `${step}`);
      const [status, signal] = await once(child, "close");
      const { body, metadata } = await get(store, "dir/a");
      assert.equal(metadata["sha256"], sha256(body), `after step ${step}`);
      const next = `after ${step}`;
      await put(open(clock), "dir/a", next, { sha256: sha256(bytes(next)) });
      assert.equal(await text(store, "dir/a"), next);
      assert.ok(!(await leftovers()).includes("a.lock"), `step ${step}`);
      if (status === 0) break;
      assert.equal(signal, "SIGKILL");
      killed += 1;
    }
    assert.ok(killed > 20, `it was killed at ${killed} steps only`);
    // One look each.
    assert.ok(clock.monotonicMs() <= 10 * killed);
  }, 90_000);

  /** The lock of `dir/a`, as a killed process of this machine left it; "elsewhere", without what tells its process. */
  async function leaveLock(where: "here" | "elsewhere"): Promise<void> {
    await put(open(), "dir/a", "old");
    const child = workshop.start("hold", directory);
    assert.ok(child.stdout);
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "close");
    assert.deepEqual(await leftovers(), ["a.lock"]);
    if (where === "here") return;
    const [token = ""] = await readdir(files.lock);
    await writeFile(join(files.lock, token, "beat"), "7 process 1 on web-1\n");
  }

  it("keeps its lock not at all on the same machine", async () => {
    await leaveLock("here");
    const clock = quickClock();
    await put(open(clock), "dir/a", "new", { n: "1" });
    assert.ok(clock.monotonicMs() < 100);
    assert.equal(await text(open(), "dir/a"), "new");
    assert.deepEqual(await leftovers(), []);
  });

  it("keeps its lock elsewhere only until it was seen to stand still, and not for an object beside it", async () => {
    await leaveLock("elsewhere");
    const clock = quickClock();
    const store = open(clock);
    await put(store, "dir/b", "not locked");
    assert.equal(clock.monotonicMs(), 0);
    await put(store, "dir/a", "new", { n: "1" });
    assert.ok(clock.monotonicMs() >= STALE_MS);
    assert.ok(clock.monotonicMs() < 2 * STALE_MS);
    assert.equal(await text(store, "dir/a"), "new");
    assert.deepEqual(await leftovers(), []);
  });

  it("is watched over several calls, each of which gives up too soon", async () => {
    await leaveLock("elsewhere");
    let stop = new AbortController();
    let stopAtMs = Number.POSITIVE_INFINITY;
    const clock = quickClock(async (nowMs) => {
      if (nowMs >= stopAtMs) stop.abort(new Error("enough"));
    });
    const store = open(clock);
    let calls = 0;
    for (let isSaved = false; !isSaved; calls += 1) {
      stop = new AbortController();
      stopAtMs = clock.monotonicMs() + 333;
      isSaved = await put(store, "dir/a", "new", {}, undefined, stop.signal).then(
        () => true,
        () => false,
      );
      assert.ok(clock.monotonicMs() < STALE_MS + 500);
    }
    assert.ok(calls > 10);
  });

  it("is watched by who only reads, too", async () => {
    await leaveLock("elsewhere");
    const clock = quickClock();
    const store = open(clock);
    await get(store, "dir/a");
    while (clock.monotonicMs() < STALE_MS) await clock.sleep(500, never);
    await store.head("dir/a", never);
    const beganMs = clock.monotonicMs();
    await put(store, "dir/a", "new");
    assert.ok(clock.monotonicMs() - beganMs < 100);
  });

  it("leaves locks of objects that nobody writes any more, which go with the next save an hour later", async () => {
    await leaveLock("elsewhere");
    const store = open();
    await put(store, "dir/b", "soon");
    assert.deepEqual(await leftovers(), ["a.lock"]);
    const [token = ""] = await readdir(files.lock);
    const old = new Date(Date.now() - 2 * 60 * 60 * 1000);
    await utimes(join(files.lock, token, "beat"), old, old);
    await put(store, "dir/b", "later");
    assert.deepEqual(await leftovers(), []);
  });

  it("may have left something in its lock that is no workbench", async () => {
    await put(open(), "dir/a", "old");
    await mkdir(files.lock);
    await writeFile(join(files.lock, ".nfs0001"), "");
    const clock = quickClock();
    await put(open(clock), "dir/a", "new");
    assert.ok(clock.monotonicMs() < 2 * STALE_MS);
    assert.deepEqual(await leftovers(), []);
  });
});

describe("a file system that has no fsync", () => {
  for (const code of ["ENOTSUP", "ENOSYS", "EINVAL"]) {
    it(`is written all the same: ${code}`, async () => {
      const handle = await openFile(process.execPath, "r");
      const error = Object.assign(new Error(code), { code, syscall: "fsync" });
      const sync = vi.spyOn(Object.getPrototypeOf(handle), "sync").mockRejectedValue(error);
      await handle.close();
      try {
        await put(open(), "dir/a", "kept");
        assert.ok(sync.mock.calls.length > 0);
      } finally {
        sync.mockRestore();
      }
      assert.equal(await text(open(), "dir/a"), "kept");
    });
  }
});

describe("a writer that can open no file any more", () => {
  it("still lets its lock go, and leaves nothing", async () => {
    await put(open(), "dir/a", "old");
    const child = workshop.start("starve", directory);
    assert.ok(child.stdout);
    await once(child.stdout, "data");
    assert.deepEqual(await leftovers(), []);
    child.kill("SIGKILL");
    await once(child, "close");
  });
});

describe("writers that race", () => {
  it("lose no update when three processes count on condition", async () => {
    const store = open();
    await put(store, "n", "0", { n: "0" });
    const children = [20, 20, 20].map((times) => workshop.start("count", directory, `${times}`));
    const ends = await Promise.all(children.map((child) => once(child, "close")));
    assert.deepEqual(
      ends.map(([status]) => status),
      [0, 0, 0],
    );
    assert.equal(await text(store, "n"), "60");
  });

  it("wait for one that lives, and say in the end who kept the lock", async () => {
    await put(open(), "dir/a", "old");
    const holder = turnBy(systemClock);
    await holder.prepare();
    await holder.begin(never);
    const beat = holder.path("beat");
    const clock = quickClock((nowMs) => writeFile(beat, `${nowMs} process 7 on web-1\n`));
    const error = await failsWith("STORE_UNAVAILABLE", put(open(clock), "dir/a", "new"));
    assert.match(error.message, /its lock was held by process 7 on web-1 for more than 30 s/);
    assert.ok(error.retryable);
    await holder[Symbol.asyncDispose]();
    assert.equal(await text(open(), "dir/a"), "old");
    assert.deepEqual(await leftovers(), []);
  });

  it("stop waiting with the signal's reason, and leave nothing", async () => {
    await put(open(), "dir/a", "old");
    await using holder = turnBy(systemClock);
    await holder.prepare();
    await holder.begin(never);
    const controller = new AbortController();
    const reason = new Error("enough");
    const clock = quickClock(async () => controller.abort(reason));
    await rejectsWith(reason, put(open(clock), "dir/a", "new", {}, undefined, controller.signal));
    assert.deepEqual(await leftovers(), ["a.lock"]);
  });

  it("cannot overwrite anything once paused so long that another one took over", async () => {
    const store = open(quickClock());
    const old = await put(store, "dir/a", "old", { n: "old" });
    await using paused = turnBy(quickClock());
    await paused.prepare();
    await writeFile(paused.path("body"), "from the past");
    await paused.begin(never);

    const current = await put(store, "dir/a", "new", { n: "new" }, { ifVersion: old.version });

    const error = await failsWith("STORE_UNAVAILABLE", paused.publish("body", files.body));
    assert.match(error.message, /stood still for more than 6 s and another one took over/);
    await failsWith("STORE_UNAVAILABLE", paused.withdraw(files.body));
    await paused[Symbol.asyncDispose]();
    const object = await get(store, "dir/a");
    assert.equal(object.version, current.version);
    assert.deepEqual({ ...object.metadata }, { n: "new" });
    assert.deepEqual(await leftovers(), []);
  });

  it("leave a third one's turn alone when one wakes up late", async () => {
    await put(open(), "dir/a", "old");
    const paused = turnBy(quickClock());
    await paused.prepare();
    await paused.begin(never);
    await put(open(quickClock()), "dir/a", "new");
    await using third = turnBy(quickClock());
    await third.prepare();
    await writeFile(third.path("body"), "third");
    await third.begin(never);
    await paused[Symbol.asyncDispose]();
    await third.publish("body", files.body);
    assert.equal(await text(open(), "dir/a"), "third");
  });
});

describe("what lies in the directory", () => {
  it("is the body as a plain file, and one companion in a hidden folder, for the owner alone", async () => {
    const store = open();
    await put(store, "dir/a", "old", { n: "0" });
    await put(store, "dir/a", '{"a": 1}', { n: "1" });
    assert.equal(await readFile(join(directory, "dir/a"), "utf8"), '{"a": 1}');
    const companion = `a.${sha256(bytes('{"a": 1}'))}.json`;
    assert.deepEqual(await readdir(hidden), [companion]);
    const { mtimeNs } = await stat(join(directory, "dir/a"), { bigint: true });
    assert.equal(
      await readFile(join(hidden, companion), "utf8"),
      `{"bytes":8,"mtimeNs":"${mtimeNs}","contentType":"application/json","metadata":{"n":"1"}}\n`,
    );
    const mode = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);
    assert.equal(await mode(join(directory, "dir/a")), "600");
    assert.equal(await mode(join(hidden, companion)), "600");
    assert.equal(await mode(join(directory, "dir")), "700");
    assert.equal(await mode(hidden), "700");
  });

  it("does not disturb a listing: lost+found, links in a circle, names that are no keys", async () => {
    const store = open();
    await put(store, "dir/a", "1");
    await mkdir(join(directory, "lost+found"));
    await writeFile(join(directory, "lost+found/#1234"), "found by fsck");
    await writeFile(join(directory, "a\nb"), "no key");
    await symlink("..", join(directory, "dir/up"));
    await symlink("nowhere", join(directory, "dangling"));
    await symlink("dir/a", join(directory, "link"));
    assert.deepEqual(await keys(store, ""), ["dir/a", "link"]);
    assert.equal(await text(store, "link"), "1");
  });
});
