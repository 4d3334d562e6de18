/** What came before a snapshot: for a Kong that refuses it. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { StoreReader } from "../../src/snapshots/reader.ts";
import { ReplicaReader } from "../../src/snapshots/replicas.ts";
import { restoredExporterId } from "../../src/snapshots/restored.ts";
import type { FoundSnapshot, NewSnapshot } from "../../src/snapshots/snapshot.ts";
import { StoreError } from "../../src/store/port.ts";
import { snapshotOf, V391 } from "../fakes/config.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import {
  archiveOn,
  CONDITIONAL,
  historyKey,
  KEY,
  made,
  nameIn,
  optionsOn,
  SPOILT,
  signal,
  spoil,
} from "./stage.ts";

async function storeOf(...snapshots: readonly NewSnapshot[]): Promise<MemoryStore> {
  const store = new MemoryStore();
  for (const snapshot of snapshots) await archiveOn(store).save(snapshot, CONDITIONAL, signal);
  return store;
}

async function namesOf(snapshots: AsyncIterable<FoundSnapshot>): Promise<readonly string[]> {
  const names: string[] = [];
  for await (const snapshot of snapshots) names.push(nameIn(snapshot));
  return names;
}

async function earlierIn(store: MemoryStore) {
  const options = optionsOn(store);
  const reader = new StoreReader(options);
  const newest = await reader.latest(signal);
  return { names: await namesOf(reader.earlier(newest, signal)), log: options.log };
}

describe("what came before a snapshot", () => {
  it("is in the history, the newest first, without the snapshot itself", async () => {
    const store = await storeOf(made("a", 0), made("b", 1), made("c", 2));
    assert.deepEqual((await earlierIn(store)).names, ["b", "a"]);
  });

  it("is none that was held back, that came later, or that cannot be used", async () => {
    const store = await storeOf(made("a", 0), made("b", 1), made("c", 2));
    const { history } = archiveOn(store);
    await history.add(made("held", 1), { held: "empty", conditional: true }, signal);
    await history.add(made("later", 9), { conditional: true }, signal);
    const [b] = (await history.list(signal)).filter(({ held }) => !held).slice(2);
    assert.ok(b);
    spoil(store, { body: Buffer.from("x") }, historyKey(b.id));
    const { names, log } = await earlierIn(store);
    assert.deepEqual(names, ["a"]);
    assert.deepEqual(
      log.find(SPOILT).map(({ fields }) => fields["id"]),
      [b.id],
    );
  });

  it("is not what an operator replaced by it", async () => {
    const bad = made("bad", 2);
    const store = await storeOf(made("a", 0), made("b", 1), bad);
    const exporterId = restoredExporterId("b", bad.metadata);
    await archiveOn(store).save(made("b", 3, { exporterId }), CONDITIONAL, signal);
    assert.deepEqual((await earlierIn(store)).names, ["a"]);
  });

  it("is all of the history where nobody knows how old the snapshot is", async () => {
    const store = await storeOf(made("a", 0), made("b", 1), made("c", 2));
    spoil(store, { body: snapshotOf("by hand").config, metadata: {} }, KEY);
    assert.deepEqual((await earlierIn(store)).names, ["c", "b", "a"]);
  });

  it("is merged from several stores, each config once, without those that do not answer", async () => {
    const stores = [
      await storeOf(made("a", 0), made("c", 2), made("d", 3)),
      await storeOf(made("a", 0), made("b", 1)),
      await storeOf(made("z", 0)),
    ];
    const log = new RecordingLog();
    const readers = stores.map((store) => new StoreReader({ ...optionsOn(store), log }));
    const clock = new ManualClock();
    const reader = new ReplicaReader({ readers, kongVersion: V391, clock, log });
    const newest = await reader.latest(signal);
    const [, , dead] = stores;
    assert.ok(dead);
    dead.intercept = async () => {
      throw new StoreError("STORE_UNAVAILABLE", "the store is down");
    };
    assert.deepEqual(await namesOf(reader.earlier(newest, signal)), ["c", "b", "a"]);
    assert.equal(log.find("one of several stores gives no snapshot").length, 1);
  });
});
