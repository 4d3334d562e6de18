import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { DiskCache } from "../../../src/sidecar/shelf/disk-cache.ts";
import { Shelf } from "../../../src/sidecar/shelf/shelf.ts";
import { PLAIN_SEAL } from "../../../src/snapshots/seal/seal.ts";
import type { NewSnapshot } from "../../../src/snapshots/snapshot.ts";
import { StoreError } from "../../../src/store/port.ts";
import { kongVersion, snapshotOf, V391 } from "../../fakes/config.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { MemoryStore } from "../../fakes/memory-store.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";

const { signal } = new AbortController();
const V342 = kongVersion("3.4.2");
const T0 = 1_795_220_000;
const FULL = new StoreError("STORE_FULL", "could not put: no space is left", {
  hint: "Free space.",
});
/** Longest wait before the first new try, `random` being 0.5: halfway between 10 s and twice that. */
const FIRST_RETRY_MS = 15_000;

function setUp() {
  const store = new MemoryStore();
  const shelf = new Shelf();
  const clock = new ManualClock();
  const log = new RecordingLog();
  const stop = new AbortController();
  const deadline = new AbortController();
  const disk = new DiskCache({
    trusted: [],
    match: "patch",
    store,
    seal: PLAIN_SEAL,
    maxConfigBytes: 10_000,
    clock,
    random: () => 0.5,
    log,
  });
  shelf.onNewer((_, servable) => disk.keep(servable));
  return { store, shelf, clock, log, stop, deadline, disk };
}

const made = (name: string, after: number, overrides: Partial<NewSnapshot["metadata"]> = {}) =>
  snapshotOf(name, { controlPlaneTimestamp: T0 + after, ...overrides });

/** Calls `then` whenever the store is about to be written to. */
function onPut(store: MemoryStore, then: () => void | Promise<void>): void {
  store.intercept = async (operation) => {
    if (operation === "put") await then();
  };
}

describe("the copy on the local disk", () => {
  it("is the newest config of each version with all its metadata, and is read back", async () => {
    const { shelf, disk, stop, deadline } = setUp();
    const a = made("a", 0);
    const old = made("old", 0, { kongVersion: V342 });
    await shelf.offer(a, "store");
    await shelf.offer(old, "memory");
    stop.abort();
    assert.equal(await disk.run(stop.signal, deadline.signal), true);
    const read = await disk.read(V391, signal);
    assert.deepEqual(read?.metadata, a.metadata);
    assert.deepEqual(Buffer.from(read?.config ?? []), a.config);
    assert.deepEqual((await disk.read(V342, signal))?.metadata, old.metadata);
    assert.equal(await disk.read(kongVersion("3.9.2"), signal), undefined);
  });

  it("is replaced by what the shelf takes for newer, whoever wrote it and under whatever token", async () => {
    const { shelf, disk, stop, deadline } = setUp();
    stop.abort();
    await shelf.offer(made("a", 0, { fencingToken: 7, exporterId: "exporter-2" }), "store");
    await disk.run(stop.signal, deadline.signal);
    const live = made("live", 1);
    await shelf.offer(live, "memory");
    await disk.run(stop.signal, deadline.signal);
    assert.deepEqual((await disk.read(V391, signal))?.metadata, live.metadata);
  });

  it("says for which version it was saved, and is not read where that one may not stand in", async () => {
    const { store, shelf, disk, stop, deadline, clock, log } = setUp();
    const older = made("older", 0, { kongVersion: kongVersion("3.9.0") });
    await shelf.offer({ ...older, wanted: V391 }, "store");
    stop.abort();
    await disk.run(stop.signal, deadline.signal);
    assert.deepEqual((await disk.read(V391, signal))?.metadata, older.metadata);
    const common = { store, seal: PLAIN_SEAL, maxConfigBytes: 10_000, clock, log };
    const exact = new DiskCache({ ...common, match: "exact", trusted: [], random: () => 0.5 });
    await assert.rejects(exact.read(V391, signal), { code: "SNAPSHOT_WRONG_VERSION" });
  });

  it("is not written again with what was read from it", async () => {
    const { store, shelf, disk, stop, deadline } = setUp();
    await shelf.offer(made("a", 0), "disk");
    stop.abort();
    assert.equal(await disk.run(stop.signal, deadline.signal), true);
    assert.equal(store.objects.size, 0);
  });

  it("skips what was overtaken while another was written", async () => {
    const { store, shelf, disk, stop, deadline, clock } = setUp();
    let writes = 0;
    let release: (() => void) | undefined;
    const isWriting = new Promise<void>((begun) => {
      onPut(store, () => {
        writes += 1;
        if (writes > 1) return;
        begun();
        return new Promise<void>((resolve) => (release = resolve));
      });
    });
    const running = disk.run(stop.signal, deadline.signal);
    await shelf.offer(made("a", 0), "memory");
    await isWriting;
    await shelf.offer(made("b", 1), "memory");
    await shelf.offer(made("c", 2), "memory");
    release?.();
    stop.abort();
    assert.equal(await running, true);
    assert.equal(writes, 2);
    assert.equal((await disk.read(V391, signal))?.metadata.sha256, made("c", 2).metadata.sha256);
    assert.equal(clock.sleepers, 0);
  });
});

describe("a disk that takes nothing", () => {
  it("stops nothing: the config is served, the fault is said, and it is tried again later", async () => {
    const { store, shelf, disk, stop, deadline, clock, log } = setUp();
    store.failNext(FULL);
    const running = disk.run(stop.signal, deadline.signal);
    assert.equal(await shelf.offer(made("a", 0), "memory"), true);
    await clock.untilSleeping(FIRST_RETRY_MS);
    assert.ok(shelf.newest(V391));
    assert.deepEqual(
      log.find("error").map(({ fields }) => fields["err"]),
      [FULL],
    );
    const isWritten = new Promise<void>((resolve) => onPut(store, resolve));
    await clock.advance(FIRST_RETRY_MS);
    await isWritten;
    stop.abort();
    assert.equal(await running, true);
    assert.ok(await disk.read(V391, signal));
    assert.equal(log.find("error").length, 1);
  });

  it("does not keep other versions from being written", async () => {
    const { store, shelf, disk, stop, deadline } = setUp();
    store.intercept = async (operation, key) => {
      if (operation === "put" && key.startsWith(V342)) throw FULL;
    };
    await shelf.offer(made("old", 0, { kongVersion: V342 }), "store");
    await shelf.offer(made("a", 0), "store");
    stop.abort();
    assert.equal(await disk.run(stop.signal, deadline.signal), false);
    assert.ok(await disk.read(V391, signal));
  });
});

describe("the end of writing", () => {
  it("lets a write under way finish", async () => {
    const { store, shelf, disk, stop, deadline } = setUp();
    let writes = 0;
    onPut(store, () => {
      writes += 1;
      stop.abort();
    });
    const running = disk.run(stop.signal, deadline.signal);
    await shelf.offer(made("a", 0), "memory");
    assert.equal(await running, true);
    assert.equal(writes, 1);
    assert.ok(await disk.read(V391, signal));
  });

  it("comes with the deadline for a disk that hangs and heeds no signal", async () => {
    const { store, shelf, disk, stop, deadline } = setUp();
    await shelf.offer(made("a", 0), "store");
    const hangs = new Promise<void>((resolve) => {
      store.put = () => {
        resolve();
        return new Promise(() => {});
      };
    });
    const running = disk.run(stop.signal, deadline.signal);
    await hangs;
    stop.abort(new Error("stop"));
    deadline.abort(new Error("deadline"));
    assert.equal(await running, false);
  });

  it("comes with the deadline, and it is told what was left", async () => {
    const { store, shelf, disk, stop, deadline } = setUp();
    onPut(store, () => {
      stop.abort(new Error("stop"));
      deadline.abort(new Error("deadline"));
      return new Promise<never>(() => {});
    });
    const running = disk.run(stop.signal, deadline.signal);
    await shelf.offer(made("a", 0), "memory");
    assert.equal(await running, false);
  });

  it("is the rejection with what is a bug", async () => {
    const { store, shelf, disk, stop, deadline } = setUp();
    store.failNext(new RangeError("a bug"));
    await shelf.offer(made("a", 0), "memory");
    await assert.rejects(disk.run(stop.signal, deadline.signal), /a bug/);
  });
});
