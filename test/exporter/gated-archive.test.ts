/** What becomes of a config that is saved behind a guard: it is current, or held back and kept aside. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { PROPAGATION_MS } from "../../src/kong/wire.ts";
import { Archive } from "../../src/snapshots/archive.ts";
import type { Seal } from "../../src/snapshots/seal/seal.ts";
import { sha256 } from "../../src/snapshots/snapshot.ts";
import { snapshotOf, V391 } from "../fakes/config.ts";
import { leaseIn } from "../fakes/lease.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { roles } from "../fakes/seals.ts";
import {
  bytesOf,
  heldIn,
  KEY,
  keptIn,
  type StageOptions,
  savedIn,
  setUp,
  until,
  withServices,
} from "./stage.ts";

const ALARM = "config held back: it lost too much of what the current one has, which stays";
const UNCOUNTED = "current config cannot be counted, so the guard lets the next one pass";
const UNCONFIRMED =
  "config not saved yet: another one lies there, the control plane is asked anew which is the newer one";
const { signal } = new AbortController();
const big = withServices(40);
const small = withServices(5, 1_795_220_100);

function guarded(options: StageOptions = {}) {
  const stage = setUp({ guard: "*=50", exportDelayMs: 0, ...options });
  const isHolding = () => stage.exporter.replicas[0]?.heldBy === "guard";
  return { ...stage, isHolding };
}

function archiveOf(store: MemoryStore, seal: Seal): Archive {
  const log = new RecordingLog();
  return new Archive({ store, seal, kongVersion: V391, maxConfigBytes: 1_000_000, log });
}

const hashIn = (store: MemoryStore) => store.objects.get(KEY)?.metadata["config-hash"];

describe("a save behind a guard", () => {
  it("holds back a config that lost too much, keeps it aside, and raises one alarm", async () => {
    const { store, clock, send, save, isHolding, seen, log, source, status, end } = guarded();
    await save(big);
    await send(small);
    await until(clock, () => heldIn(store).length === 1);
    await send({ ...small, timestamp: 1_795_220_200 });
    // A decision, not a lag.
    await until(clock, () => status().lagMs === 0);
    assert.equal(savedIn(store), bytesOf(big));
    assert.equal(heldIn(store).length, 1);
    assert.ok(isHolding());
    assert.equal(log.find(ALARM).length, 1);
    assert.equal(seen.filter((what) => what === "held").length, 1);
    assert.deepEqual(source.acknowledged, [big.configHash]);
    assert.equal(await end(), true);
  });

  it("clears the hold with the next config that passes, the current one too", async () => {
    const { clock, send, save, isHolding, end } = guarded();
    await save(big);
    await send(small);
    await until(clock, isHolding);
    await send({ ...big, timestamp: 1_795_220_200 });
    await until(clock, () => !isHolding());
    await send({ ...small, timestamp: 1_795_220_300 });
    await until(clock, isHolding);
    await save(withServices(41, 1_795_220_400));
    assert.equal(isHolding(), false);
    await end();
  });

  it("holds nothing back while another exporter has the lease, and holds it again afterwards", async () => {
    const { store, clock, send, save, isHolding, log, status, end } = guarded({ lease: true });
    await save(big);
    await send(small);
    await until(clock, isHolding);
    const other = leaseIn(store, clock);
    const found = await other.read(signal);
    assert.ok(found);
    await other.take(found.token + 1, found, signal);
    await until(clock, () => status().leadership?.kind === "follower", 100);
    assert.equal(isHolding(), false);
    await until(clock, isHolding, 100);
    assert.equal(status().leadership?.kind, "holder");
    assert.equal(savedIn(store), bytesOf(big));
    assert.equal(log.find(ALARM).length, 1);
    await end();
  });

  it("compares with what lies in the store after a restart", async () => {
    const first = guarded();
    await first.save(big);
    await first.end();
    const second = guarded({ store: first.store });
    await second.send(small);
    await until(second.clock, second.isHolding);
    assert.equal(savedIn(second.store), bytesOf(big));
    await second.end();
  });

  it("compares with what another exporter saved, once that may be the newer one", async () => {
    const { store, clock, send, save, isHolding, log, end } = guarded();
    await save(big);
    const other = setUp({ store, exportDelayMs: 0, id: "exporter-2" });
    const bigger = withServices(100, 1_795_220_300);
    await other.send(bigger);
    await until(other.clock, () => other.status().refusedBy !== undefined);
    await other.clock.advance(PROPAGATION_MS);
    other.source.emit({ kind: "connected" });
    await other.save(bigger);
    await other.end();
    await send(withServices(41, 1_795_220_200));
    await until(clock, () => log.find(UNCONFIRMED).length === 1);
    // Half of what this one saved, and much less than half of what lies there now.
    await send(withServices(30, 1_795_220_400));
    await until(clock, isHolding);
    // What this one saved is not the current one any more, so it is not let be either.
    await send({ ...big, timestamp: 1_795_220_500 });
    await until(clock, () => heldIn(store).length === 2);
    assert.equal(savedIn(store), bytesOf(bigger));
    await end();
  });

  it("holds nothing back where the guard is off", async () => {
    const { save, isHolding, end } = guarded({ guard: "off" });
    await save(big);
    await save(small);
    assert.equal(isHolding(), false);
    await end();
  });
});

describe("a save in a store with a limited history", () => {
  it("keeps no more than that", async () => {
    const { store, clock, save, log, end } = guarded({ retention: { maxCount: 2 } });
    for (const count of [30, 31, 32, 33]) await save(withServices(count, 1_795_220_000 + count));
    await until(clock, () => log.find("history pruned").length === 2);
    assert.equal(keptIn(store).length, 2);
    await end();
  });

  it("keeps no more than that of what is held back, though nothing is saved any more", async () => {
    const { store, clock, save, send, log, end } = guarded({ retention: { maxCount: 2 } });
    await save(big);
    for (const count of [1, 2, 3, 4]) {
      await send(withServices(count, 1_795_220_000 + count));
      await until(clock, () => log.find(ALARM).length === count);
    }
    await until(clock, () => log.find("history pruned").length === 2);
    assert.equal(heldIn(store).length, 2);
    assert.equal(keptIn(store).length, 3);
    assert.equal(savedIn(store), bytesOf(big));
    await end();
  });
});

/** Two lives of an exporter that cannot read what it writes: the first saves `big`, the second gets `small`. */
async function twoLives(between: (store: MemoryStore) => void) {
  const { exporter: seal, reader } = await roles();
  const first = guarded({ seal });
  const { store } = first;
  first.source.emitConfig(big);
  await until(first.clock, () => first.log.find("snapshot saved").length === 1);
  await first.end();
  between(store);
  const second = guarded({ store, seal });
  second.source.emitConfig(small);
  return { ...second, reader };
}

describe("a save that is sealed for others", () => {
  it("holds back a config that lost too much, by the counts in the metadata", async () => {
    const { store, reader, clock, log, end } = await twoLives(() => {});
    await until(clock, () => heldIn(store).length === 1);
    await end();
    assert.equal(hashIn(store), big.configHash);
    assert.deepEqual(log.find(UNCOUNTED), []);
    const { config, metadata } = await archiveOf(store, reader).latest(signal);
    assert.deepEqual(Buffer.from(config), big.configTable);
    assert.deepEqual(metadata?.entities, { services: 40 });
  });

  it("holds it back by the counts of the history, where the current one is forged", async () => {
    const { store, clock, end } = await twoLives(({ objects }) => {
      const object = objects.get(KEY);
      assert.ok(object);
      objects.set(KEY, { ...object, metadata: {} });
    });
    await until(clock, () => heldIn(store).length === 1);
    await end();
  });

  it("lets it pass, with a warning, where nobody has counted", async () => {
    const store = new MemoryStore();
    const { exporter: seal } = await roles();
    const metadata = {
      ...snapshotOf("any").metadata,
      configHash: big.configHash,
      sha256: sha256(big.configTable),
      bytes: big.configTable.length,
      controlPlaneTimestamp: big.timestamp,
    };
    const snapshot = { config: big.configTable, metadata };
    await archiveOf(store, seal).save(snapshot, { conditional: true }, signal);
    const { clock, log, source, end } = guarded({ store, seal });
    source.emitConfig(small);
    await until(clock, () => log.find("snapshot saved").length === 1);
    await end();
    assert.equal(hashIn(store), small.configHash);
    assert.equal(log.find(UNCOUNTED).length, 1);
  });

  it("is seen by who stands by, though that one cannot read it", async () => {
    const { exporter: seal } = await roles();
    const common = { seal, exportDelayMs: 0, lease: true };
    const leader = setUp({ ...common, id: "exporter-1" });
    const { clock, store } = leader;
    leader.source.emitConfig(big);
    await until(clock, () => leader.log.find("snapshot saved").length === 1, 100);
    const follower = setUp({ ...common, store, clock, id: "exporter-2" });
    await until(clock, () => follower.exporter.hasSaved, 100);
    assert.deepEqual(follower.log.find("error"), []);
    await Promise.all([follower.end(), leader.end()]);
  });
});
