import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "vitest";
import { StoreReader } from "../../src/snapshots/reader.ts";
import { REPLICA_GRACE_MS, ReplicaReader } from "../../src/snapshots/replicas.ts";
import type { NewSnapshot } from "../../src/snapshots/snapshot.ts";
import { StoreError } from "../../src/store/port.ts";
import { kongVersion, snapshotOf, V391 } from "../fakes/config.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { archiveOn, made, nameIn, objectIn, optionsOn, signal, spoil } from "./stage.ts";

async function setUp(...saved: readonly (NewSnapshot | undefined)[]) {
  const clock = new ManualClock();
  const log = new RecordingLog();
  const stores: MemoryStore[] = [];
  for (const [index, snapshot] of saved.entries()) {
    const store = new MemoryStore({ url: `memory://${index}` });
    stores.push(store);
    if (snapshot !== undefined) await save(store, snapshot);
  }
  const readers = stores.map(
    (store) => new StoreReader({ ...optionsOn(store), log, match: "patch" }),
  );
  const reader = new ReplicaReader({ readers, kongVersion: V391, clock, log });
  return { clock, log, stores, reader };
}

async function save(store: MemoryStore, snapshot: NewSnapshot): Promise<void> {
  const { kongVersion } = snapshot.metadata;
  const log = new RecordingLog();
  const archive = archiveOn(store, { kongVersion, log, keepHistory: false });
  await archive.save(snapshot, { conditional: true }, signal);
}

const down = async () => {
  throw new StoreError("STORE_UNAVAILABLE", "the store is down");
};

describe("reading several replicas", () => {
  it("takes the newest, whatever the tokens of the stores are", async () => {
    const { reader, log } = await setUp(
      made("old", 0, { fencingToken: 9 }),
      made("new", 1, { fencingToken: 2 }),
      made("old", 0, { fencingToken: 5 }),
    );
    const found = await reader.latest(signal);
    assert.equal(nameIn(found), "new");
    assert.equal(found.metadata?.fencingToken, 0);
    assert.deepEqual(log.lines, []);
  });

  it("does without one that is dead, one that is damaged and one that is empty, and warns once of each", async () => {
    const { reader, stores, log } = await setUp(
      made("lost", 9),
      made("broken", 8),
      made("good", 1),
      undefined,
    );
    const [dead, damaged] = stores;
    assert.ok(dead && damaged);
    dead.intercept = down;
    spoil(damaged, { body: objectIn(damaged).body.slice(1) });
    for (let times = 0; times < 2; times += 1) {
      assert.equal(nameIn(await reader.latest(signal)), "good");
    }
    const warned = log.find("one of several stores gives no snapshot");
    assert.deepEqual(
      warned.map(({ fields }) => (fields["err"] as StoreError).code),
      ["STORE_UNAVAILABLE", "SNAPSHOT_CORRUPT", "SNAPSHOT_MISSING"],
    );
  });

  it("gives a slow one a little longer than the first, and then leaves it", async () => {
    const { reader, stores, clock, log } = await setUp(made("good", 1), made("late", 2));
    const [, slow] = stores;
    assert.ok(slow);
    slow.intercept = () => new Promise(() => {});
    const reading = reader.latest(signal);
    await clock.untilSleeping(REPLICA_GRACE_MS);
    await clock.advance(REPLICA_GRACE_MS);
    assert.equal(nameIn(await reading), "good");
    assert.equal(log.find("one of several stores is slow, not waited for").length, 1);
    assert.equal(clock.sleepers, 0);
  });

  it("waits for a slow one that answers in time, and for any where none has answered well", async () => {
    const { reader, stores, clock } = await setUp(made("good", 1), made("late", 2));
    const [dead, slow] = stores;
    assert.ok(dead && slow);
    let answer = () => {};
    const hold = () => new Promise<void>((resolve) => (answer = resolve));
    slow.intercept = hold;
    const first = reader.latest(signal);
    await clock.untilSleeping(REPLICA_GRACE_MS);
    await clock.advance(REPLICA_GRACE_MS - 1);
    answer();
    assert.equal(nameIn(await first), "late");
    dead.intercept = down;
    const second = reader.latest(signal);
    await clock.advance(600_000);
    answer();
    assert.equal(nameIn(await second), "late");
  });

  it("prefers the wanted version to a newer snapshot of an older one", async () => {
    const older = snapshotOf("older", {
      kongVersion: kongVersion("3.9.0"),
      controlPlaneTimestamp: 1_795_220_009,
    });
    for (const saved of [
      [older, made("wanted", 0)],
      [made("wanted", 0), older],
    ]) {
      const { reader } = await setUp(...saved);
      assert.equal(nameIn(await reader.latest(signal)), "wanted");
    }
    const { reader } = await setUp(undefined, older);
    assert.equal((await reader.latest(signal)).kongVersion, "3.9.0");
  });

  it("gives the error that says most where none can be used", async () => {
    const missing = await setUp(undefined, undefined);
    await assert.rejects(missing.reader.latest(signal), { code: "SNAPSHOT_MISSING" });
    const { reader, stores } = await setUp(undefined, made("broken", 0), undefined);
    assert.ok(stores[1] && stores[2]);
    spoil(stores[1], { body: objectIn(stores[1]).body.slice(1) });
    await assert.rejects(reader.latest(signal), { code: "SNAPSHOT_CORRUPT" });
    stores[2].intercept = down;
    await assert.rejects(reader.latest(signal), { code: "STORE_UNAVAILABLE", retryable: true });
  });

  it("tells what changed since the last look, in whichever store", async () => {
    const { reader, stores } = await setUp(made("a", 0), made("a", 0));
    const first = await reader.refresh(undefined, signal);
    assert.ok(first && stores[1]);
    assert.equal(await reader.refresh(first.version, signal), undefined);
    await save(stores[1], made("b", 5));
    const second = await reader.refresh(first.version, signal);
    assert.ok(second);
    assert.equal(nameIn(second.snapshot), "b");
    assert.equal(await reader.refresh(second.version, signal), undefined);
  });

  it("rejects with the reason of the signal once that aborts", async () => {
    const { reader, stores } = await setUp(made("a", 0), made("b", 1));
    for (const store of stores) store.intercept = () => new Promise(() => {});
    const abort = new AbortController();
    const reading = reader.latest(abort.signal);
    await setImmediate();
    abort.abort(new RangeError("enough"));
    await assert.rejects(reading, /enough/);
  });
});
