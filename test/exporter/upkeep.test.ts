/** What an exporter does about its snapshot while nothing changes: it looks whether that still lies there, and saves it again where it does not. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { CHECK_MS, WHOLE_CHECK_MS } from "../../src/exporter/writer.ts";
import { SourceError } from "../../src/source/port.ts";
import type { Version } from "../../src/store/port.ts";
import { updateOf } from "../fakes/config.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import {
  bytesOf,
  DELAY_MS,
  down,
  KEY,
  keptIn,
  type StageOptions,
  savedIn,
  setUp,
  until,
  withServices,
} from "./stage.ts";

const [A, B, C] = [updateOf("a"), updateOf("b", 1_795_220_100), updateOf("c", 1_795_220_200)];
const MENDED = "current snapshot was gone or damaged, saved again";
const PUT_BACK =
  "somebody put another snapshot in the place of the current one, which was saved again";
const CHECKED_MS = CHECK_MS * 1.25;

/** "a" and then "b" were saved, and nothing happens any more. */
async function atRest(options: StageOptions = {}) {
  const store = options.store ?? new MemoryStore();
  const t = setUp({ ...options, store });
  t.source.emit({ kind: "connected" });
  await t.save(A);
  const older = store.objects.get(KEY) ?? assert.fail();
  await t.clock.untilSleeping(DELAY_MS);
  await t.clock.advance(DELAY_MS);
  await t.save(B);
  await t.clock.untilSleeping(DELAY_MS);
  await t.clock.advance(DELAY_MS);
  const object = store.objects.get(KEY) ?? assert.fail();
  const put = (changed: Partial<typeof object>, version: string) =>
    store.objects.set(KEY, { ...object, ...changed, version: version as Version });
  return { ...t, store, older, object, put };
}

const DAMAGES: readonly (readonly [string, (t: Awaited<ReturnType<typeof atRest>>) => void])[] = [
  ["removed", ({ store }) => store.objects.delete(KEY)],
  ["emptied", ({ put }) => put({ body: Buffer.alloc(0), bytes: 0 }, "emptied")],
  ["cut off", ({ put, object }) => put({ body: object.body.subarray(0, 20), bytes: 20 }, "cut")],
  ["robbed of its metadata", ({ put }) => put({ metadata: {} }, "bare")],
  [
    "overwritten with another Kong version's",
    ({ put, object }) => put({ metadata: { ...object.metadata, "kong-version": "3.8.0" } }, "3.8"),
  ],
];

describe("a current snapshot that nobody changes", () => {
  it("is looked at, by its version alone, and then by its body now and then", async () => {
    const { store, clock, log, seen, status, end } = await atRest();
    const before = store.bytesRead;
    let heads = 0;
    store.intercept = async (operation, key) => {
      if (operation === "head" && key === KEY) heads += 1;
    };
    for (let minute = 0; minute < 60; minute += 1) await clock.advance(60_000);
    assert.ok(heads >= 3_600_000 / CHECKED_MS, `looked ${heads} times in an hour`);
    assert.equal(store.bytesRead, before);
    assert.ok((status().unseenMs ?? Infinity) <= CHECKED_MS);
    for (let passed = 0; passed < WHOLE_CHECK_MS; passed += 60_000) await clock.advance(60_000);
    assert.ok(store.bytesRead > before, "read");
    assert.ok(!seen.includes("mended"));
    assert.deepEqual(log.find(MENDED), []);
    await end();
  });

  for (const [what, damage] of DAMAGES) {
    it(`is saved again once it was ${what}`, async () => {
      const t = await atRest();
      damage(t);
      await until(t.clock, () => t.seen.includes("mended"), 1_000);
      assert.equal(savedIn(t.store), bytesOf(B));
      assert.equal(t.log.find(MENDED).length, 1);
      assert.equal(t.status().lagMs, 0);
      assert.equal(keptIn(t.store).length, 2, "the history has it once");
      await t.end();
    });
  }

  it("is saved again though its version stays, once the body is read", async () => {
    const { store, object, clock, seen, end } = await atRest();
    store.objects.set(KEY, { ...object, body: Buffer.from(object.body).fill(32, 10, 20) });
    await clock.advance(CHECKED_MS);
    assert.ok(!seen.includes("mended"));
    await until(clock, () => seen.includes("mended"), 60_000);
    assert.equal(savedIn(store), bytesOf(B));
    await end();
  });

  it("is saved again once an older one was put back by hand", async () => {
    for (const lease of [false, true]) {
      const { store, older, log, clock, seen, end } = await atRest({ lease });
      store.objects.set(KEY, older);
      await until(clock, () => seen.includes("mended"), 1_000);
      assert.equal(savedIn(store), bytesOf(B));
      assert.equal(log.find(PUT_BACK).length, 1);
      await end();
    }
  });

  it("is saved again where another exporter's was put back, though the control plane is away", async () => {
    const store = new MemoryStore();
    const another = setUp({ store, id: "exporter-0", lease: true });
    another.source.emit({ kind: "connected" });
    await another.save(C);
    const anothers = store.objects.get(KEY) ?? assert.fail();
    await another.end();
    const t = setUp({ store, lease: true, exportDelayMs: 0 });
    t.source.emit({ kind: "connected" });
    await t.send(B);
    await until(t.clock, () => t.source.sessions === 2, 100);
    t.source.emit({ kind: "connected" });
    t.source.emitConfig(B);
    await until(t.clock, () => savedIn(store) === bytesOf(B));
    t.source.emit(new SourceError("SOURCE_LOST", "gone"));
    store.objects.set(KEY, anothers);
    await until(t.clock, () => t.seen.includes("mended"), 1_000);
    assert.equal(savedIn(store), bytesOf(B));
    await t.end();
  });

  it("is left to the operator who restored another one, whatever that replaced", async () => {
    for (const replaced of [B, C]) {
      const retry = { minMs: 1_000, maxMs: 30_000 };
      const { store, put, older, source, clock, seen, log, end } = await atRest({ retry });
      source.emit(new SourceError("SOURCE_LOST", "gone"));
      const by = `restored:x:over:${replaced.configHash?.slice(0, 12)}`;
      const metadata = {
        ...{ ...older.metadata, "exporter-id": by },
        "control-plane-timestamp": "1795220900.000",
      };
      put({ body: older.body, metadata }, "restored");
      for (let minute = 0; minute < 60; minute += 1) await clock.advance(60_000);
      assert.equal(savedIn(store), bytesOf(A));
      assert.ok(!seen.includes("mended"));
      assert.deepEqual(log.find(PUT_BACK), []);
      await end();
    }
  });

  it("is left where a newer exporter wrote it, which is told as ever", async () => {
    const { put, object, store, status, clock, end } = await atRest();
    put({ metadata: { ...object.metadata, "fencing-token": "9" }, body: object.body }, "9");
    await until(clock, () => status().refusedBy === "stale", 1_000);
    assert.equal(store.objects.get(KEY)?.version, "9");
    assert.ok((status().lagMs ?? 0) >= 0);
    await end();
  });

  it("is left where a program of the future wrote it, which is said", async () => {
    const { put, object, log, seen, clock, end } = await atRest();
    put({ metadata: { ...object.metadata, format: "kong-fallback/2" } }, "future");
    const said = () => log.find("cannot look whether the current snapshot is still good");
    await until(clock, () => said().length > 0, 1_000);
    assert.ok(!seen.includes("mended"));
    await end();
  });

  it("is saved again while another config is held back", async () => {
    const t = setUp({ guard: "*=50" });
    const { store, source, clock, seen } = t;
    await t.save(withServices(40));
    source.emitConfig(withServices(2, 1_795_220_300));
    await until(clock, () => seen.includes("held"), 1_000);
    store.objects.delete(KEY);
    await until(clock, () => seen.includes("mended"), 1_000);
    assert.equal(savedIn(store), bytesOf(withServices(40)));
    assert.equal(seen.filter((what) => what === "held").length, 1);
    await t.end();
  });
});

describe("a store that dies while nothing changes", () => {
  it("is noticed and told once, and so is that it is back", async () => {
    const { store, clock, log, status, end } = await atRest();
    store.intercept = down;
    for (let minute = 0; minute < 4; minute += 1) await clock.advance(60_000);
    const said = log.find("cannot look whether the current snapshot is still good");
    assert.equal(said.length, 1);
    assert.ok((status().unseenMs ?? 0) > 120_000);
    store.intercept = async () => {};
    await clock.advance(CHECKED_MS);
    assert.equal(log.find("current snapshot was looked at: it is good").length, 1);
    assert.ok((status().unseenMs ?? 0) <= CHECKED_MS);
    await end();
  });

  it("is noticed by an exporter that found its snapshot there and was given no config since", async () => {
    const store = new MemoryStore();
    const first = setUp({ store });
    await first.save(A);
    await first.end();
    const { clock, log, status, end } = setUp({ store });
    await until(clock, () => status().unseenMs !== undefined);
    store.objects.delete(KEY);
    const lost = () =>
      log.find(
        "current snapshot is gone or damaged: it is saved again once the control plane sends its config",
      );
    await until(clock, () => lost().length > 0, 1_000);
    await clock.advance(CHECKED_MS);
    assert.ok((status().unseenMs ?? 0) > CHECK_MS);
    await end();
  });
});
