import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { leaseKey } from "../../src/snapshots/layout.ts";
import { StoreError } from "../../src/store/port.ts";
import { updateOf, V391 } from "../fakes/config.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { PausableClock, Pause } from "../fakes/pause.ts";
import { StoreLink } from "../fakes/store-link.ts";
import { bytesOf, savedIn, setUp, TAKEOVER_MS, tokenIn, until } from "./stage.ts";

/** Two exporters over one store, each on a way of its own; the first has the lease and saved "a". */
async function twoExporters() {
  const clock = new ManualClock();
  const store = new MemoryStore();
  const start = (id: string) => {
    const pause = new Pause();
    const link = new StoreLink(store, pause);
    const ownClock = new PausableClock(clock, pause);
    const stage = setUp({ stores: [link], clock, ownClock, id, exportDelayMs: 0, lease: true });
    const status = () => stage.exporter.replicas[0];
    const leads = () => status()?.leadership?.kind === "holder";
    return { ...stage, link, pause, leads, status };
  };
  const first = start("exporter-1");
  const a = updateOf("a", 1_795_220_000);
  first.source.emitConfig(a);
  // With its history: what packs that takes real time, which the clock knows nothing of.
  await until(clock, () => first.log.find("snapshot saved").length === 1);
  assert.equal(savedIn(store), bytesOf(a));
  const second = start("exporter-2");
  second.source.emitConfig(a);
  await until(clock, () => second.exporter.hasSaved);
  const end = async () => {
    for (const { stop, pause } of [first, second]) {
      pause.end();
      stop.abort();
    }
    await until(clock, () => !first.leads() || !second.leads());
    await Promise.all([first.running, second.running]);
  };
  return { clock, store, first, second, a, end };
}

describe("two exporters over one store", () => {
  it("let one of them write, and both are ready and tell the control plane", async () => {
    const { clock, store, first, second, a, end } = await twoExporters();
    assert.deepEqual([first.leads(), second.leads()], [true, false]);
    assert.deepEqual(second.source.acknowledged, [a.configHash]);
    const b = updateOf("b", 1_795_220_100);
    second.source.emitConfig(b);
    first.source.emitConfig(b);
    await until(clock, () => savedIn(store) === bytesOf(b));
    assert.ok(!second.seen.includes("wrote"));
    assert.equal(second.status()?.lagMs, undefined, "it is the other one's to save");
    await until(clock, () => second.source.acknowledged.length === 2, 1_000);
    await end();
  });

  it("do not lag behind with what the other one saved once nobody holds the lease", async () => {
    const { clock, store, second, end } = await twoExporters();
    await clock.advance(60_000);
    store.objects.delete(leaseKey(V391));
    const isWithout = () => {
      const leadership = second.status()?.leadership;
      return leadership?.kind === "follower" && leadership.holder === undefined;
    };
    await until(clock, isWithout, 100);
    assert.ok((second.status()?.lagMs ?? Number.NaN) <= 1_000, `${second.status()?.lagMs}`);
    await end();
  });

  it("have the second take over within a lease period where the first is dead, with what it received meanwhile", async () => {
    const { clock, store, first, second, end } = await twoExporters();
    const before = tokenIn(store);
    first.pause.begin();
    const b = updateOf("b", 1_795_220_100);
    second.source.emitConfig(b);
    await until(clock, () => second.source.acknowledged.length > 0);
    const deadAt = clock.monotonicMs();
    await until(clock, () => savedIn(store) === bytesOf(b), 500);
    assert.ok(clock.monotonicMs() - deadAt <= TAKEOVER_MS);
    assert.ok(tokenIn(store) > before);
    await end();
  });

  it("hand over at once where the first is told to stop, which saves what is pending before", async () => {
    const { clock, store, first, second, end } = await twoExporters();
    const b = updateOf("b", 1_795_220_100);
    first.source.emitConfig(b);
    await clock.advance(1);
    first.stop.abort();
    assert.equal(await first.running, true);
    assert.equal(savedIn(store), bytesOf(b));
    const stoppedAt = clock.monotonicMs();
    await until(clock, second.leads, 500);
    // Only until it looks the next time: a third of a lease period, and some jitter.
    assert.ok(clock.monotonicMs() - stoppedAt <= TAKEOVER_MS - 15_000);
    await end();
  });

  it("refuse the write of a leader that stood still while the other one took over", async () => {
    const { clock, store, first, second, end } = await twoExporters();
    const { requests } = first.link;
    const held = first.link.holdNextWrite();
    first.source.emitConfig(updateOf("late", 1_795_220_050));
    await until(clock, () => first.link.requests > requests);
    first.pause.begin();
    const b = updateOf("b", 1_795_220_100);
    second.source.emitConfig(b);
    await until(clock, () => savedIn(store) === bytesOf(b), 500);
    const token = tokenIn(store);
    await held.deliver();
    first.pause.end();
    await until(clock, () => !first.leads(), 100);
    assert.equal(savedIn(store), bytesOf(b));
    assert.equal(tokenIn(store), token);
    assert.ok(second.leads());
    await end();
  });

  it("refuse to start over a store that does not honour conditional writes", async () => {
    const { running } = setUp({ lease: true, conditional: false });
    await assert.rejects(running, { code: "ELECTION_UNSAFE" });
  });
});

describe("one exporter over several stores", () => {
  it("saves in those that answer, shows how far the other lags behind, and catches up", async () => {
    const stores = ["a", "b", "c"].map((name) => new MemoryStore({ url: `memory://${name}` }));
    const [one, dead, other] = stores;
    assert.ok(one && dead && other);
    const down = async () => {
      throw new StoreError("STORE_UNAVAILABLE", "the store is down");
    };
    const { clock, source, exporter, log, stop, running } = setUp({ stores, lease: true });
    const a = updateOf("a");
    source.emitConfig(a);
    await until(clock, () => stores.every((store) => savedIn(store) === bytesOf(a)));
    dead.intercept = down;
    await clock.advance(60_000);
    const b = updateOf("b");
    source.emitConfig(b);
    await until(clock, () => log.find("config received").length === 2, 0);
    const receivedAt = clock.monotonicMs();
    await until(clock, () => [one, other].every((store) => savedIn(store) === bytesOf(b)));
    await until(clock, () => source.acknowledged.at(-1) === b.configHash);
    await clock.advance(90_000);
    const lags = () => exporter.replicas.map(({ lagMs }) => lagMs);
    const lag = clock.monotonicMs() - receivedAt;
    assert.ok(lag >= 90_000);
    assert.deepEqual(lags(), [0, lag, 0]);
    assert.equal(savedIn(dead), bytesOf(a));
    dead.intercept = async () => {};
    await until(clock, () => savedIn(dead) === bytesOf(b), 500);
    await until(clock, () => lags().every((lag) => lag === 0));
    stop.abort();
    assert.equal(await running, true);
  });

  it("counts as saved what one store has when it is told to stop", async () => {
    const stores = ["a", "b"].map((name) => new MemoryStore({ url: `memory://${name}` }));
    const [good, dead] = stores;
    assert.ok(good && dead);
    dead.intercept = async () => {
      throw new StoreError("STORE_UNAVAILABLE", "the store is down");
    };
    const { clock, source, stop, deadline, running, log } = setUp({ stores, lease: true });
    source.emitConfig(updateOf("a"));
    await until(clock, () => savedIn(good) !== "");
    stop.abort();
    await clock.advance(1);
    deadline.abort();
    assert.equal(await running, true);
    const said = "stopped before the newest config could be saved in every store";
    assert.equal(log.find(said).length, 1);
  });
});
