import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { FrameError } from "../../src/kong/reconfigure.ts";
import { SourceError } from "../../src/source/port.ts";
import { StoreError } from "../../src/store/port.ts";
import { updateOf } from "../fakes/config.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { bytesOf, DELAY_MS, down, KEY, savedIn, setUp, until } from "./stage.ts";

describe("the exporter", () => {
  it("saves a config with what is known about it, then tells the control plane that it has it", async () => {
    const { store, clock, source, seen, stop, running } = setUp();
    const update = updateOf("a");
    source.emit({ kind: "connected" });
    source.emitConfig(update);
    await clock.untilSleeping(DELAY_MS);
    assert.equal(savedIn(store), bytesOf(update));
    const metadata = store.objects.get(KEY)?.metadata;
    assert.equal(metadata?.["config-hash"], update.configHash);
    assert.equal(metadata?.["hash-match"], "true");
    assert.equal(metadata?.["exporter-id"], "exporter-1");
    assert.equal(metadata?.["control-plane-timestamp"], "1795220000.000");
    assert.equal(metadata?.["exported-at"], "2026-11-21T12:00:00.000Z");
    assert.deepEqual(source.acknowledged, [update.configHash]);
    assert.deepEqual(seen, ["up", "received", "wrote", "saved"]);
    stop.abort();
    assert.equal(await running, true);
  });

  it("does not acknowledge before the store has confirmed", async () => {
    const store = new MemoryStore();
    let confirm: (() => void) | undefined;
    let writing: (() => void) | undefined;
    const begun = new Promise<void>((resolve) => (writing = resolve));
    store.intercept = async (operation, key) => {
      if (operation !== "put" || key !== KEY) return;
      writing?.();
      await new Promise<void>((resolve) => (confirm = resolve));
    };
    const { clock, source, stop, running } = setUp({ store });
    source.emitConfig(updateOf("a"));
    await begun;
    assert.deepEqual(source.acknowledged, []);
    confirm?.();
    await clock.untilSleeping(DELAY_MS);
    assert.equal(source.acknowledged.length, 1);
    stop.abort();
    await running;
  });

  it("reports at start the hash of what is saved already", async () => {
    const first = setUp();
    const update = updateOf("a");
    first.source.emitConfig(update);
    await first.clock.untilSleeping(DELAY_MS);
    first.stop.abort();
    await first.running;
    const second = setUp({ store: first.store });
    assert.equal(second.exporter.hasSaved, false);
    await until(second.clock, () => second.exporter.hasSaved);
    assert.deepEqual(second.source.acknowledged, [update.configHash]);
    second.stop.abort();
    await second.running;
  });

  it("follows the control plane though the store is down at start", async () => {
    const store = new MemoryStore();
    store.failNext(new StoreError("STORE_UNAVAILABLE", "the store is down"));
    const { exporter, clock, source, log, stop, running } = setUp({ store });
    const update = updateOf("a");
    source.emitConfig(update);
    await until(clock, () => exporter.hasSaved, 100);
    assert.equal(log.find("election fails, will try again").length, 1);
    assert.equal(savedIn(store), bytesOf(update));
    stop.abort();
    await running;
  });

  it("goes on where what is saved cannot be read once it is elected", async () => {
    const store = new MemoryStore();
    let gets = 0;
    store.intercept = async (operation, key) => {
      if (operation !== "get" || key !== KEY) return;
      gets += 1;
      if (gets === 1) throw new StoreError("STORE_UNAVAILABLE", "the store is down");
    };
    const { clock, source, log, stop, running } = setUp({ store });
    const update = updateOf("a");
    source.emitConfig(update);
    await clock.untilSleeping(DELAY_MS);
    assert.equal(
      log.find("store cannot be used yet, configs are kept in memory until it can").length,
      1,
    );
    assert.equal(savedIn(store), bytesOf(update));
    stop.abort();
    await running;
  });

  it("does not write the same config again, after a reconnect or a restart", async () => {
    const first = setUp();
    const update = updateOf("a");
    first.source.emitConfig(update);
    await first.clock.untilSleeping(DELAY_MS);
    let puts = 0;
    first.store.intercept = async (operation) => {
      if (operation === "put") puts += 1;
    };
    await first.clock.advance(DELAY_MS);
    first.source.emitConfig({ ...update, timestamp: 1_795_230_000 });
    await first.clock.advance(1);
    first.stop.abort();
    await first.running;
    const second = setUp({ store: first.store });
    second.source.emitConfig({ ...update, timestamp: 1_795_240_000 });
    await until(second.clock, () => second.exporter.hasSaved);
    second.stop.abort();
    await second.running;
    assert.equal(puts, 0);
    assert.ok(second.seen.includes("saved") && !second.seen.includes("wrote"));
    assert.deepEqual(new Set(second.source.acknowledged), new Set([update.configHash]));
  });

  it("says that Kong's hash does not match, and saves the config all the same", async () => {
    const { store, clock, source, log, stop, running } = setUp();
    source.emitConfig({ ...updateOf("a"), configHash: "f".repeat(32) });
    await clock.untilSleeping(DELAY_MS);
    assert.equal(store.objects.get(KEY)?.metadata["hash-match"], "false");
    assert.equal(log.find("warn").length, 1);
    stop.abort();
    await running;
  });

  it("does not parse a config above the limit for the hash", async () => {
    const { store, clock, source, stop, running } = setUp({ hashCheckMaxBytes: 10 });
    source.emitConfig(updateOf("a"));
    await clock.untilSleeping(DELAY_MS);
    assert.equal(store.objects.get(KEY)?.metadata["hash-match"], "unchecked");
    stop.abort();
    await running;
  });

  it("keeps what is saved when a bad frame arrives, and saves the next good one", async () => {
    const { store, clock, source, seen, log, stop, running } = setUp();
    const [good, next] = [updateOf("a"), updateOf("b")];
    source.emitConfig(good);
    await clock.untilSleeping(DELAY_MS);
    source.emit({ kind: "rejected", error: new FrameError("FRAME_NOT_JSON", "no JSON") });
    await clock.advance(DELAY_MS);
    assert.equal(savedIn(store), bytesOf(good));
    assert.ok(seen.includes("FRAME_NOT_JSON"));
    assert.equal(log.find("config refused, what is saved stays as it is").length, 1);
    source.emitConfig(next);
    await clock.advance(1);
    assert.equal(savedIn(store), bytesOf(next));
    stop.abort();
    await running;
  });

  it("keeps what is saved when the control plane goes away, and says so", async () => {
    const { store, clock, source, seen, log, stop, running } = setUp();
    const update = updateOf("a");
    source.emit({ kind: "connected" });
    source.emitConfig(update);
    await clock.untilSleeping(DELAY_MS);
    source.emit(new SourceError("SOURCE_LOST", "the control plane is gone"));
    await clock.advance(600_000);
    assert.equal(savedIn(store), bytesOf(update));
    assert.ok(seen.includes("down"));
    assert.ok(log.find("warn").length >= 1);
    stop.abort();
    assert.equal(await running, true);
  });

  it("loses nothing while the store is down: the newest config is saved when it is back", async () => {
    const store = new MemoryStore();
    store.intercept = async (operation) => {
      if (operation === "put") await down();
    };
    const { clock, source, seen, stop, running } = setUp({ store });
    source.emitConfig(updateOf("a"));
    await until(clock, () => seen.filter((what) => what === "STORE_UNAVAILABLE").length === 3);
    const newest = updateOf("b");
    source.emitConfig(newest);
    await clock.advance(0);
    store.intercept = async () => {};
    await until(clock, () => source.acknowledged.length > 0);
    assert.equal(savedIn(store), bytesOf(newest));
    assert.deepEqual(source.acknowledged, [newest.configHash]);
    stop.abort();
    await running;
  });

  it("says what is lost when the store stays down until the deadline", async () => {
    const store = new MemoryStore();
    store.intercept = down;
    const { clock, source, log, stop, deadline, running } = setUp({ store });
    source.emitConfig(updateOf("a"));
    await clock.advance(1);
    stop.abort();
    await clock.advance(1);
    deadline.abort();
    assert.equal(await running, false);
    assert.equal(log.find("stopped before the newest config could be saved").length, 1);
  });

  it("ends, instead of half living on, when one side fails with a bug", async () => {
    const { source, running } = setUp();
    source.emit(new RangeError("a bug"));
    await assert.rejects(running, /a bug/);
  });
});

describe("one exporter over several stores", () => {
  it("saves in those that answer, shows how far the other lags behind, and catches up", async () => {
    const stores = ["a", "b", "c"].map((name) => new MemoryStore({ url: `memory://${name}` }));
    const [one, dead, other] = stores;
    assert.ok(one && dead && other);
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
    const lags = () => exporter.replicas.map(({ lagMs }) => lagMs);
    // A save is over once its history is packed, which happens in a thread: no clock in hand waits for it.
    await clock.advance(1);
    await until(clock, () => lags()[0] === 0 && lags()[2] === 0);
    await clock.advance(90_000);
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
    dead.intercept = down;
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
