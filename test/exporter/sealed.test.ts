import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { computeConfigHash } from "../../src/kong/config-hash.ts";
import type { ConfigUpdate } from "../../src/kong/reconfigure.ts";
import { Archive } from "../../src/snapshots/archive.ts";
import type { Seal } from "../../src/snapshots/seal/seal.ts";
import { sha256 } from "../../src/snapshots/snapshot.ts";
import { snapshotOf, V391 } from "../fakes/config.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { roles } from "../fakes/seals.ts";
import { KEY, setUp, until } from "./stage.ts";

const { signal } = new AbortController();
const UNCOUNTED = "current config cannot be counted, so the guard lets the next one pass";

function withServices(count: number, timestamp: number): ConfigUpdate {
  const services = Array.from({ length: count }, (_, place) => ({ name: `s${place}` }));
  const configTable = Buffer.from(JSON.stringify({ _format_version: "3.0", services }));
  const configHash = computeConfigHash(configTable, V391);
  return { configTable, configHash, hashes: { config: configHash }, timestamp };
}

const big = withServices(40, 1_795_220_000);
const small = withServices(5, 1_795_220_100);

function readerOf(store: MemoryStore, seal: Seal): Archive {
  const log = new RecordingLog();
  return new Archive({ store, seal, kongVersion: V391, maxConfigBytes: 1_000_000, log });
}

const heldIn = (store: MemoryStore) =>
  [...store.objects.keys()].filter((key) => key.includes(".held."));
const hashIn = (store: MemoryStore) => store.objects.get(KEY)?.metadata["config-hash"];

/** Two lives of an exporter that cannot read what it writes: the first saves `big`, the second gets `small`. */
async function twoLives(between: (store: MemoryStore) => void) {
  const store = new MemoryStore();
  const { exporter: seal, reader } = await roles();
  const common = { stores: [store], seal, guard: "*=50", exportDelayMs: 0 };
  const first = setUp(common);
  first.source.emitConfig(big);
  await until(first.clock, () => first.log.find("snapshot saved").length === 1);
  first.stop.abort();
  await first.running;
  between(store);
  const second = setUp(common);
  second.source.emitConfig(small);
  return { store, reader, ...second };
}

describe("an exporter that seals what it cannot read", () => {
  it("holds back a config that lost too much, by the counts in the metadata", async () => {
    const { store, reader, clock, log, stop, running } = await twoLives(() => {});
    await until(clock, () => heldIn(store).length === 1);
    stop.abort();
    await running;
    assert.equal(hashIn(store), big.configHash);
    assert.deepEqual(log.find(UNCOUNTED), []);
    const { config, metadata } = await readerOf(store, reader).latest(signal);
    assert.deepEqual(Buffer.from(config), big.configTable);
    assert.deepEqual(metadata?.entities, { services: 40 });
  });

  it("holds it back by the counts of the history, where the current one is forged", async () => {
    const { store, clock, stop, running } = await twoLives((objects) => {
      const object = objects.objects.get(KEY);
      assert.ok(object);
      objects.objects.set(KEY, { ...object, metadata: {} });
    });
    await until(clock, () => heldIn(store).length === 1);
    stop.abort();
    await running;
  });

  it("lets it pass, with a warning, where nobody has counted", async () => {
    const store = new MemoryStore();
    const { exporter: seal } = await roles();
    const archive = readerOf(store, seal);
    const metadata = {
      ...snapshotOf("any").metadata,
      configHash: big.configHash,
      sha256: sha256(big.configTable),
      bytes: big.configTable.length,
      controlPlaneTimestamp: big.timestamp,
    };
    await archive.save({ config: big.configTable, metadata }, { conditional: true }, signal);
    const { clock, log, source, stop, running } = setUp({
      stores: [store],
      seal,
      guard: "*=50",
      exportDelayMs: 0,
    });
    source.emitConfig(small);
    await until(clock, () => log.find("snapshot saved").length === 1);
    stop.abort();
    await running;
    assert.equal(hashIn(store), small.configHash);
    assert.equal(log.find(UNCOUNTED).length, 1);
  });

  it("is ready while it stands by, though another one saved what it cannot read", async () => {
    const store = new MemoryStore();
    const { exporter: seal } = await roles();
    const common = { stores: [store], seal, exportDelayMs: 0, lease: true };
    const leader = setUp({ ...common, id: "exporter-1" });
    const { clock } = leader;
    leader.source.emitConfig(big);
    await until(clock, () => leader.log.find("snapshot saved").length === 1, 100);
    const follower = setUp({ ...common, clock, id: "exporter-2" });
    await until(clock, () => follower.exporter.hasSaved, 100);
    assert.deepEqual(follower.log.find("error"), []);
    for (const { stop } of [follower, leader]) stop.abort();
    await Promise.all([follower.running, leader.running]);
  });
});
