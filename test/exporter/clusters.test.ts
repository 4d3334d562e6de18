/** Two Kong clusters that export to one prefix: the second one takes nothing from the first, and says so. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { CLUSTER_1, CLUSTER_2, updateOf } from "../fakes/config.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { bytesOf, KEY, keptIn, type StageOptions, savedIn, setUp, until } from "./stage.ts";

const OURS = updateOf("ours", 1_795_220_000, CLUSTER_1);
const THEIRS = updateOf("theirs", 1_795_220_500, CLUSTER_2);
const TOLD = "config not saved: another Kong cluster's lies there, and stays";
const RETRY = { minMs: 1_000, maxMs: 30_000 };

/** The first cluster's config is saved, its exporter is gone. */
async function occupied(options: StageOptions = {}) {
  const store = new MemoryStore();
  const first = setUp({ store, id: "exporter-1", ...options });
  first.source.emit({ kind: "connected" });
  await first.save(OURS);
  await first.end();
  return store;
}

describe("an exporter whose store holds another cluster's config", () => {
  for (const options of [{}, { lease: true }, { guard: "*=1" }] as const) {
    it(`saves nothing, keeps nothing aside, and says so once (${JSON.stringify(options)})`, async () => {
      const store = await occupied(options);
      const reads = () => store.bytesRead;
      const t = setUp({ store, id: "exporter-2", retry: RETRY, ...options });
      t.source.emit({ kind: "connected" });
      await t.send(THEIRS);
      await until(t.clock, () => t.status().refusedBy === "foreign", 100);
      const before = reads();
      // A session that began after it had looked proves nothing here.
      for (let minute = 0; minute < 30; minute += 1) {
        await t.clock.advance(60_000);
        t.source.emitConfig({ ...THEIRS, timestamp: 1_795_221_000 + minute });
      }
      assert.equal(savedIn(store), bytesOf(OURS));
      assert.equal(keptIn(store).length, 1);
      assert.equal(t.log.find(TOLD).length, 1);
      assert.equal(t.exporter.hasSaved, false);
      assert.ok((t.status().lagMs ?? 0) >= 30 * 60_000);
      assert.equal(reads(), before, "what lies there is not read again and again");
      assert.equal(await t.end(), false);
    });
  }

  it("saves its own once the other one's was moved away", async () => {
    const store = await occupied();
    const t = setUp({ store, id: "exporter-2", retry: RETRY });
    await t.send(THEIRS);
    await until(t.clock, () => t.status().refusedBy === "foreign", 100);
    store.objects.delete(KEY);
    await until(t.clock, () => t.exporter.hasSaved, 1_000);
    assert.equal(savedIn(store), bytesOf(THEIRS));
    assert.equal(t.status().refusedBy, undefined);
    assert.equal(t.status().lagMs, 0);
    assert.equal(t.exporter.hasSaved, true);
    assert.equal(await t.end(), true);
  });

  it("says so, too, while it waits for the lease of the other one's exporter", async () => {
    const store = new MemoryStore();
    const clock = new ManualClock();
    const first = setUp({ store, clock, id: "exporter-1", lease: true });
    await first.save(OURS);
    const second = setUp({ store, clock, id: "exporter-2", lease: true });
    await second.send(THEIRS);
    await until(clock, () => second.log.find(TOLD).length > 0, 1_000);
    assert.equal(second.status().leadership?.kind, "follower");
    assert.equal(second.status().refusedBy, "foreign");
    assert.equal(second.exporter.hasSaved, false);
    await clock.advance(60_000);
    assert.ok((second.status().lagMs ?? 0) >= 60_000);
    assert.equal(await second.end(), false);
    assert.equal(first.status().refusedBy, undefined);
    await first.end();
  });

  it("leaves the lease to exporters that can save", async () => {
    const store = await occupied({ lease: true });
    const clock = new ManualClock();
    const stranger = setUp({ store, clock, id: "exporter-2", lease: true });
    await until(clock, () => stranger.status().leadership?.kind === "holder", 1_000);
    const ours = setUp({ store, clock, id: "exporter-3", lease: true, exportDelayMs: 0 });
    await stranger.send(THEIRS);
    await ours.send(OURS);
    await until(clock, () => ours.status().leadership?.kind === "holder", 1_000);
    const next = updateOf("next", 1_795_220_900, CLUSTER_1);
    await ours.send(next);
    await until(clock, () => savedIn(store) === bytesOf(next), 1_000);
    await clock.advance(600_000);
    assert.equal(ours.status().leadership?.kind, "holder");
    assert.equal(stranger.status().refusedBy, "foreign");
    await Promise.all([ours.end(), stranger.end()]);
  });

  it("takes what older versions saved without a cluster for its own", async () => {
    const store = new MemoryStore();
    const first = setUp({ store, id: "exporter-1" });
    await first.save(updateOf("nobody's"));
    await first.end();
    const t = setUp({ store, id: "exporter-1" });
    await t.save(THEIRS);
    await t.end();
  });
});
