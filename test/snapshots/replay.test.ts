import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { Shelf } from "../../src/sidecar/shelf/shelf.ts";
import { StoreWatch } from "../../src/sidecar/shelf/store-watch.ts";
import { V391 } from "../fakes/config.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { roles } from "../fakes/seals.ts";
import { archiveOn, CONDITIONAL, KEY, made, signal } from "./stage.ts";

/** A store with a, then b; `replay` puts the object of a back, as it was. */
async function setUp(tokens: readonly [a: number, b: number]) {
  const store = new MemoryStore();
  const { exporter, reader } = await roles();
  const archive = archiveOn(store, { seal: exporter });
  const a = made("a", 0, { fencingToken: tokens[0] });
  const b = made("b", 1, { fencingToken: tokens[1] });
  await archive.save(a, CONDITIONAL, signal);
  const old = store.objects.get(KEY);
  assert.ok(old);
  const replay = () => store.objects.set(KEY, old);
  const current = async () =>
    Buffer.from((await archiveOn(store, { seal: reader }).latest(signal)).config);
  return { store, exporter, reader, archive, a, b, replay, current };
}

describe("an old object, rightly signed, that somebody put back", () => {
  it("does not move a sidecar backwards, which says so once", async () => {
    const { store, reader, archive, b, replay } = await setUp([1, 1]);
    const log = new RecordingLog();
    const shelf = new Shelf();
    const clock = new ManualClock();
    const watched = archiveOn(store, { seal: reader });
    const watch = new StoreWatch({ reader: watched, kongVersion: V391, shelf, clock, log });
    await archive.save(b, CONDITIONAL, signal);
    assert.equal(await watch.look(signal), true);
    replay();
    for (let look = 0; look < 2; look += 1) assert.equal(await watch.look(signal), true);
    assert.equal(shelf.newest(V391)?.configHash, b.metadata.configHash);
    const [warning, ...others] = log.find("warn");
    assert.match(warning?.message ?? "", /older snapshot than before/);
    assert.equal(others.length, 0);
  });

  for (const tokens of [
    [1, 1],
    [1, 2],
  ] as const) {
    const whose = tokens[0] === tokens[1] ? "its own token" : "the token of another before it";
    it(`under ${whose}, is replaced by the exporter's next save`, async () => {
      const { archive, b, replay, current } = await setUp(tokens);
      await archive.save(b, CONDITIONAL, signal);
      replay();
      const c = made("c", 2, { fencingToken: tokens[1] });
      assert.equal((await archive.save(c, CONDITIONAL, signal)).kind, "saved");
      assert.deepEqual(await current(), c.config);
    });

    it(`under ${whose}, is replaced by the newest when an exporter looks again`, async () => {
      const { store, exporter, archive, b, replay, current } = await setUp(tokens);
      await archive.save(b, CONDITIONAL, signal);
      replay();
      for (const exporterId of ["exporter-1", "exporter-2"]) {
        const later = archiveOn(store, { seal: exporter });
        const fencingToken = await later.highestToken(signal);
        assert.equal((await later.recall(signal))?.fencingToken, tokens[0]);
        const own = { ...b.metadata, exporterId, fencingToken: fencingToken + 1 };
        assert.equal(later.holds(own.configHash, own.fencingToken), false);
        const outcome = await later.save({ ...b, metadata: own }, CONDITIONAL, signal);
        assert.equal(outcome.kind, "saved");
        assert.deepEqual(await current(), b.config);
        replay();
      }
    });
  }
});
