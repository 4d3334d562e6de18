/** When a writer saves: as the holder of the lease, one of several, or told to stop. */

import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "vitest";
import { leaseKey } from "../../src/snapshots/layout.ts";
import { updateOf, V391 } from "../fakes/config.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { PausableClock, Pause } from "../fakes/pause.ts";
import { StoreLink } from "../fakes/store-link.ts";
import {
  bytesOf,
  DELAY_MS,
  down,
  KEY,
  keptIn,
  savedIn,
  setUp,
  TAKEOVER_MS,
  tokenIn,
  until,
} from "./stage.ts";

const [A, B, C] = [updateOf("a"), updateOf("b", 1_795_220_100), updateOf("c", 1_795_220_200)];

/** The first write of the current object waits until it is let go, or broken off. */
function heldWrite() {
  const store = new MemoryStore();
  let letGo: (() => void) | undefined;
  store.intercept = async (operation, key) => {
    if (operation !== "put" || key !== KEY) return;
    store.intercept = async () => {};
    await new Promise<void>((resolve) => (letGo = resolve));
  };
  const begun = async () => {
    while (letGo === undefined) await setImmediate();
  };
  return { store, begun, letGo: () => letGo?.() };
}

describe("a writer that holds the lease", () => {
  it("saves the first config at once, then the newest, one per export delay", async () => {
    const { store, source, clock, end } = setUp();
    source.emitConfig(A);
    await clock.untilSleeping(DELAY_MS);
    assert.equal(savedIn(store), bytesOf(A));
    assert.equal(clock.monotonicMs(), 0);
    for (const update of [B, updateOf("between", 1_795_220_150), C]) source.emitConfig(update);
    await clock.advance(DELAY_MS - 1);
    assert.equal(savedIn(store), bytesOf(A));
    await clock.advance(1);
    assert.equal(savedIn(store), bytesOf(C));
    await clock.untilSleeping(DELAY_MS);
    assert.equal(keptIn(store).length, 2);
    await clock.advance(DELAY_MS * 10);
    const last = updateOf("last", 1_795_220_300);
    source.emitConfig(last);
    await clock.untilSleeping(DELAY_MS);
    assert.equal(savedIn(store), bytesOf(last), "after a quiet time the next is saved at once");
    assert.equal(await end(), true);
    assert.equal(clock.sleepers, 0);
  });

  it("keeps no delay after what did not have to be written", async () => {
    const { store, source, clock, end } = setUp();
    source.emitConfig(A);
    await clock.untilSleeping(DELAY_MS);
    await clock.advance(DELAY_MS);
    source.emitConfig({ ...A, timestamp: 1_795_220_050 });
    await clock.advance(0);
    source.emitConfig(B);
    await clock.untilSleeping(DELAY_MS);
    assert.equal(savedIn(store), bytesOf(B));
    assert.equal(clock.monotonicMs(), DELAY_MS);
    await end();
  });

  it("saves next what arrives while another config is written", async () => {
    const { store, begun, letGo } = heldWrite();
    const { source, clock, send, end } = setUp({ store });
    source.emitConfig(A);
    await begun();
    await send(B);
    letGo();
    await clock.untilSleeping(DELAY_MS);
    assert.equal(savedIn(store), bytesOf(A));
    await clock.advance(DELAY_MS);
    assert.equal(savedIn(store), bytesOf(B));
    await end();
  });

  it("waits longer and longer while the store is down, up to what it is told", async () => {
    const store = new MemoryStore();
    store.intercept = async (operation) => {
      if (operation === "put") await down();
    };
    const retry = { minMs: 1_000, maxMs: 30_000 };
    const { source, clock, seen, end } = setUp({ store, retry, random: () => 0.999_999 });
    source.emitConfig(A);
    const failures = () => seen.filter((what) => what === "STORE_UNAVAILABLE").length;
    const delays: number[] = [];
    for (const count of [1, 2, 3, 4, 5, 6]) {
      await until(clock, () => failures() === count, 0);
      const from = clock.monotonicMs();
      await until(clock, () => failures() > count, 100);
      delays.push(clock.monotonicMs() - from);
    }
    assert.deepEqual(delays, [2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    store.intercept = async () => {};
    await end();
  });
});

describe("a writer that is told to stop", () => {
  it("saves what waits for its delay", async () => {
    const { store, source, clock, send, end } = setUp();
    source.emitConfig(A);
    await clock.untilSleeping(DELAY_MS);
    await send(B);
    assert.equal(await end(), true);
    assert.equal(savedIn(store), bytesOf(B));
  });

  it("saves what came while it still looked at what is saved", async () => {
    const store = new MemoryStore();
    const { clock, status, send, end } = setUp({ store });
    let isLooking = false;
    store.intercept = async (operation, key) => {
      if (operation !== "get" || key !== KEY || isLooking) return;
      isLooking = status().leadership?.kind === "holder";
      if (isLooking) await new Promise(() => {});
    };
    await until(clock, () => isLooking);
    await send(A);
    assert.equal(await end(), true);
    assert.equal(savedIn(store), bytesOf(A));
  });

  it("lets a write under way finish", async () => {
    const { store, begun, letGo } = heldWrite();
    const { source, stop, running } = setUp({ store });
    source.emitConfig(A);
    await begun();
    stop.abort(new Error("stop"));
    await setImmediate();
    letGo();
    assert.equal(await running, true);
    assert.equal(savedIn(store), bytesOf(A));
  });

  it("gives up a write under way at the deadline, and says so", async () => {
    const { store, begun } = heldWrite();
    const { source, stop, deadline, running } = setUp({ store });
    source.emitConfig(A);
    await begun();
    stop.abort(new Error("stop"));
    await setImmediate();
    deadline.abort(new Error("deadline"));
    assert.equal(await running, false);
    assert.equal(savedIn(store), "");
  });

  it("tries again in haste, however long it waited before", async () => {
    const store = new MemoryStore();
    store.intercept = async (operation) => {
      if (operation === "put") await down();
    };
    const retry = { minMs: 30_000, maxMs: 30_000 };
    const { source, clock, seen, stop, running } = setUp({ store, retry, random: () => 0.999 });
    const failures = () => seen.filter((what) => what === "STORE_UNAVAILABLE").length;
    source.emitConfig(A);
    await until(clock, () => failures() === 1, 0);
    stop.abort();
    const stoppedAt = clock.monotonicMs();
    await until(clock, () => failures() === 5, 10);
    store.intercept = async () => {};
    await until(clock, () => savedIn(store) !== "", 10);
    assert.equal(await running, true);
    // At the most 0.2, 0.4, 0.8 and 1 s apart.
    assert.ok(clock.monotonicMs() - stoppedAt <= 3_500, `${clock.monotonicMs() - stoppedAt}`);
  });

  it("ends with what is a bug instead of trying again", async () => {
    const store = new MemoryStore();
    store.intercept = async (operation) => {
      if (operation === "put") throw new RangeError("a bug");
    };
    const { source, running } = setUp({ store });
    source.emitConfig(A);
    await assert.rejects(running, /a bug/);
  });
});

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
