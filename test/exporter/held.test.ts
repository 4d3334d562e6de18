import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { computeConfigHash } from "../../src/kong/config-hash.ts";
import type { ConfigUpdate } from "../../src/kong/reconfigure.ts";
import { V391 } from "../fakes/config.ts";
import { leaseIn } from "../fakes/lease.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { bytesOf, savedIn, setUp, until } from "./stage.ts";

/** A config with so many services. */
function withServices(count: number, timestamp = 1_795_220_000): ConfigUpdate {
  const services = Array.from({ length: count }, (_, place) => ({ name: `s${place}` }));
  const configTable = Buffer.from(
    JSON.stringify({ _format_version: "3.0", _transform: false, services }),
  );
  const configHash = computeConfigHash(configTable, V391);
  return { configTable, configHash, hashes: { config: configHash }, timestamp };
}

const ALARM = "config held back: it lost too much of what the current one has, which stays";

function guarded(store: MemoryStore, guard = "*=50") {
  const clock = new ManualClock();
  const stage = setUp({ stores: [store], clock, guard, exportDelayMs: 0, lease: true });
  const send = async (update: ConfigUpdate) => {
    const received = stage.log.find("config received").length;
    stage.source.emitConfig(update);
    await until(clock, () => stage.log.find("config received").length > received);
  };
  const isHolding = () => stage.exporter.replicas[0]?.heldBy === "guard";
  const heldIds = () => [...store.objects.keys()].filter((key) => key.includes(".held."));
  const end = async () => {
    stage.stop.abort();
    assert.equal(await stage.running, true);
  };
  return { ...stage, send, isHolding, heldIds, end };
}

describe("an exporter with a guard", () => {
  it("holds back a config that lost too much, keeps it aside, and raises one alarm", async () => {
    const store = new MemoryStore();
    const { clock, send, isHolding, heldIds, seen, log, source, exporter, end } = guarded(store);
    const big = withServices(40);
    const small = withServices(5, 1_795_220_100);
    await send(big);
    await until(clock, () => savedIn(store) === bytesOf(big));
    await send(small);
    await until(clock, () => heldIds().length === 1);
    await send({ ...small, timestamp: 1_795_220_200 });
    // A decision, not a lag.
    await until(clock, () => exporter.replicas[0]?.lagMs === 0);
    assert.equal(savedIn(store), bytesOf(big));
    assert.equal(heldIds().length, 1);
    assert.ok(isHolding());
    assert.equal(log.find(ALARM).length, 1);
    assert.equal(seen.filter((what) => what === "held").length, 1);
    assert.deepEqual(source.acknowledged, [big.configHash]);
    await end();
  });

  it("clears the hold with the next config that passes, the current one too", async () => {
    const store = new MemoryStore();
    const { clock, send, isHolding, end } = guarded(store);
    const big = withServices(40);
    await send(big);
    await until(clock, () => savedIn(store) === bytesOf(big));
    await send(withServices(5, 1_795_220_100));
    await until(clock, isHolding);
    await send({ ...big, timestamp: 1_795_220_200 });
    await until(clock, () => !isHolding());
    await send(withServices(5, 1_795_220_300));
    await until(clock, isHolding);
    const bigger = withServices(41, 1_795_220_400);
    await send(bigger);
    await until(clock, () => savedIn(store) === bytesOf(bigger));
    assert.equal(isHolding(), false);
    await end();
  });

  it("holds nothing back while another exporter has the lease, and holds it again afterwards", async () => {
    const store = new MemoryStore();
    const { clock, send, isHolding, log, exporter, end } = guarded(store);
    const big = withServices(40);
    await send(big);
    await until(clock, () => savedIn(store) === bytesOf(big));
    await send(withServices(5, 1_795_220_100));
    await until(clock, isHolding);
    const other = leaseIn(store, clock);
    const { signal } = new AbortController();
    const found = await other.read(signal);
    assert.ok(found);
    await other.take(found.token + 1, found, signal);
    await until(clock, () => exporter.replicas[0]?.leadership?.kind === "follower", 100);
    assert.equal(isHolding(), false);
    await until(clock, isHolding, 100);
    assert.equal(exporter.replicas[0]?.leadership?.kind, "holder");
    assert.equal(savedIn(store), bytesOf(big));
    assert.equal(log.find(ALARM).length, 1);
    await end();
  });

  it("compares with what lies in the store after a restart", async () => {
    const store = new MemoryStore();
    const first = guarded(store);
    const big = withServices(40);
    await first.send(big);
    await until(first.clock, () => savedIn(store) === bytesOf(big));
    await first.end();
    const second = guarded(store);
    await second.send(withServices(5, 1_795_220_100));
    await until(second.clock, second.isHolding);
    assert.equal(savedIn(store), bytesOf(big));
    await second.end();
  });

  it("holds nothing back where it is off", async () => {
    const store = new MemoryStore();
    const { clock, send, isHolding, end } = guarded(store, "off");
    await send(withServices(40));
    await until(clock, () => savedIn(store) !== "");
    const small = withServices(5, 1_795_220_100);
    await send(small);
    await until(clock, () => savedIn(store) === bytesOf(small));
    assert.equal(isHolding(), false);
    await end();
  });
});

describe("an exporter with a limited history", () => {
  it("keeps no more than that", async () => {
    const store = new MemoryStore();
    const clock = new ManualClock();
    const { source, log, stop, running } = setUp({
      stores: [store],
      clock,
      exportDelayMs: 0,
      retention: { maxCount: 2 },
    });
    const kept = () => [...store.objects.keys()].filter((key) => key.includes("/history/"));
    for (const count of [1, 2, 3, 4]) {
      const update = withServices(count, 1_795_220_000 + count);
      source.emitConfig(update);
      await until(clock, () => log.find("snapshot saved").length === count);
    }
    await until(clock, () => log.find("history pruned").length === 2);
    assert.equal(kept().length, 2);
    stop.abort();
    await running;
  });
});
