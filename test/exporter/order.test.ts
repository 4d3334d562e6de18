/** An exporter that finds another config in the store: it saves none that may be older, whatever the clocks say, and loses none. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import type { ConfigUpdate } from "../../src/kong/reconfigure.ts";
import { PROPAGATION_MS } from "../../src/kong/wire.ts";
import { SourceError } from "../../src/source/port.ts";
import type { Version } from "../../src/store/port.ts";
import { updateOf } from "../fakes/config.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { bytesOf, down, KEY, keptIn, type StageOptions, savedIn, setUp, until } from "./stage.ts";

const NOW = 1_795_220_000;
const HOUR_MS = 3_600_000;
const RETRY = { minMs: 1_000, maxMs: 30_000 };
const ASKED = "control plane is asked anew for what it has now";

/** Another exporter has saved "a", by a control plane's clock that was so many seconds fast, and is gone. */
async function afterAnother(fastSeconds: number, options: StageOptions = {}) {
  const store = new MemoryStore();
  const another = setUp({ store, id: "exporter-1", ...options });
  another.source.emit({ kind: "connected" });
  await another.save(updateOf("a", NOW + fastSeconds));
  await another.end();
  return store;
}

/** An exporter that has received `update`, and knows by now what lies in the store. */
async function startWith(store: MemoryStore, update: ConfigUpdate, options: StageOptions = {}) {
  const t = setUp({ store, id: "exporter-2", exportDelayMs: 0, retry: RETRY, ...options });
  t.source.emit({ kind: "connected" });
  await t.send(update);
  await until(t.clock, () => t.status().refusedBy !== undefined, 100);
  /** Lets time pass until a new session was begun, and lets that bring `next`. */
  const askedAnew = async (next: ConfigUpdate) => {
    const { sessions } = t.source;
    await until(t.clock, () => t.source.sessions > sessions, 100);
    t.source.emit({ kind: "connected" });
    t.source.emitConfig(next);
  };
  const stampIn = () => Number(store.objects.get(KEY)?.metadata["control-plane-timestamp"]);
  return { ...t, askedAnew, stampIn };
}

const CLOCKS = [
  ["right", 0],
  ["20 s fast before, and set right", 20],
  ["4 min fast before, and set right", 240],
  ["100 days fast before, and set right", 8_640_000],
  ["100 days slow before, and set right", -8_640_000],
] as const;

describe("an exporter that takes over", () => {
  for (const [what, seconds] of CLOCKS) {
    it(`asks the control plane anew, whose clock is ${what}, and then saves what that has`, async () => {
      const store = await afterAnother(seconds);
      const b = updateOf("b", NOW + 60);
      const t = await startWith(store, b);
      const seenAtMs = t.clock.monotonicMs();
      assert.equal(t.status().refusedBy, "unconfirmed");
      assert.ok((t.status().lagMs ?? 0) >= 0);
      await t.askedAnew(b);
      assert.ok(t.clock.monotonicMs() - seenAtMs >= PROPAGATION_MS - 100);
      await until(t.clock, () => savedIn(store) === bytesOf(b));
      await until(t.clock, () => t.status().lagMs === 0);
      assert.equal(t.status().refusedBy, undefined);
      assert.ok(t.stampIn() > NOW + seconds, "all who cannot know better see the same order");
      assert.equal(t.log.find(ASKED).length, 1);
      await t.end();
    });
  }

  it("leaves what lies there as it is, and keeps what it has, while the control plane is away", async () => {
    const store = await afterAnother(0);
    // Cut off since before, by a clock that was days fast.
    const t = await startWith(store, updateOf("old", NOW + 864_000));
    const lost = () => new SourceError("SOURCE_UNREACHABLE", "no answer");
    t.source.emit(lost());
    for (let minute = 0; minute < 60; minute += 1) {
      t.source.emit(lost());
      await t.clock.advance(60_000);
    }
    assert.match(savedIn(store), /"a"/);
    assert.equal(t.status().refusedBy, "unconfirmed");
    assert.ok((t.status().lagMs ?? 0) > HOUR_MS - 60_000);
    const b = updateOf("b", NOW + 60);
    t.source.emit({ kind: "connected" });
    t.source.emitConfig(b);
    await until(t.clock, () => savedIn(store) === bytesOf(b), 100);
    assert.equal(await t.end(), true);
  });

  it("does so whatever its own clock says", async () => {
    const store = await afterAnother(0);
    const minutes = 10;
    const clock = new ManualClock(new Date((NOW - minutes * 60) * 1000));
    const t = await startWith(store, updateOf("old", NOW - 3_600), { clock });
    await t.clock.advance(HOUR_MS);
    assert.match(savedIn(store), /"a"/);
    await t.end();
  });

  it("need not ask where it received what lies there, and then another config", async () => {
    const store = await afterAnother(0);
    const t = setUp({ store, id: "exporter-2", exportDelayMs: 0, lease: true });
    t.source.emit({ kind: "connected" });
    await t.send(updateOf("a", NOW));
    // By a clock that was set back.
    const b = updateOf("b", NOW - 100);
    await t.send(b);
    await until(t.clock, () => savedIn(store) === bytesOf(b), 100);
    assert.equal(t.source.sessions, 1);
    await t.end();
  });

  it("asks nothing where what it received lies there", async () => {
    const store = await afterAnother(0);
    const t = setUp({ store, id: "exporter-2", exportDelayMs: 0 });
    t.source.emit({ kind: "connected" });
    await t.send(updateOf("a", NOW + 60));
    await t.clock.advance(HOUR_MS);
    assert.equal(t.source.sessions, 1);
    assert.equal(t.status().lagMs, 0);
    await t.end();
  });

  it("is not undone by what it had received before, nor asks twice for one answer", async () => {
    const store = await afterAnother(0);
    const t = await startWith(store, updateOf("old", NOW + 100));
    await t.askedAnew(updateOf("a", NOW + 200));
    await until(t.clock, () => t.status().lagMs === 0);
    await t.clock.advance(HOUR_MS);
    assert.match(savedIn(store), /"a"/);
    assert.equal(t.source.sessions, 2);
    await t.end();
  });
});

describe("an exporter that was restarted", () => {
  it("saves the newer config though the control plane's clock was set right meanwhile", async () => {
    const lease = { lease: true };
    const store = await afterAnother(240, lease);
    const b = updateOf("b", NOW + 60);
    const t = await startWith(store, b, { ...lease, id: "exporter-1" });
    await t.askedAnew(b);
    await until(t.clock, () => savedIn(store) === bytesOf(b), 100);
    assert.equal(await t.end(), true);
  });

  it("says that something is left unsaved where it is told to stop before it could ask", async () => {
    const store = await afterAnother(0);
    const t = await startWith(store, updateOf("b", NOW + 60));
    assert.equal(await t.end(), false);
    assert.match(savedIn(store), /"a"/);
  });
});

describe("an exporter that another one's token keeps from saving", () => {
  it("keeps the config, says so once, and saves it when it may", async () => {
    const store = new MemoryStore();
    const t = setUp({ store, exportDelayMs: 0 });
    await t.save(updateOf("a"));
    const object = store.objects.get(KEY);
    assert.ok(object);
    const metadata = { ...object.metadata, "fencing-token": "9" };
    store.objects.set(KEY, { ...object, metadata, version: "by hand" as Version });
    const b = updateOf("b", NOW + 60);
    await t.send(b);
    await until(t.clock, () => t.status().refusedBy === "stale");
    await t.clock.advance(1_000);
    const said =
      "config not saved: another exporter has taken over, kept in memory, will try again";
    assert.equal(t.log.find(said).length, 1);
    assert.ok((t.status().lagMs ?? 0) >= 1_000);
    store.objects.set(KEY, object);
    await until(t.clock, () => savedIn(store) === bytesOf(b));
    await until(t.clock, () => t.status().lagMs === 0);
    await t.end();
  });
});

describe("an exporter whose history cannot be written", () => {
  it("adds what is missing there though the control plane sends nothing new", async () => {
    const store = new MemoryStore();
    let fails = true;
    store.intercept = async (operation, key) => {
      if (fails && operation === "put" && key.includes("/history/")) await down();
    };
    const t = setUp({ store });
    await t.save(updateOf("a"));
    assert.equal(keptIn(store).length, 0);
    fails = false;
    await until(t.clock, () => keptIn(store).length === 1, 1_000);
    await t.end();
  });
});
