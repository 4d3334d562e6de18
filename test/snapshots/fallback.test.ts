import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { SnapshotError } from "../../src/snapshots/errors.ts";
import type { Key } from "../../src/store/port.ts";
import { StoreError } from "../../src/store/port.ts";
import { kongVersion, snapshotOf } from "../fakes/config.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import {
  archiveOn,
  type Change,
  CONDITIONAL,
  historyKey,
  INSTEAD,
  KEY,
  SPOILT,
  signal,
  spoil as spoilIn,
} from "./stage.ts";

/** "a", "b", "c" were saved one after the other; then "d" was held back. */
async function setUp() {
  const store = new MemoryStore();
  const writer = archiveOn(store);
  for (const name of ["a", "b", "c"]) await writer.save(snapshotOf(name), CONDITIONAL, signal);
  await writer.history.add(snapshotOf("d"), { ...CONDITIONAL, held: "too small" }, signal);
  const ids = (await writer.history.list(signal)).map(({ id }) => id);
  const log = new RecordingLog();
  const spoil = (key: Key, change: Change) => spoilIn(store, change, key);
  /** By their age: 0 is "d", 1 is "c". */
  const keyOf = (index: number) => historyKey(ids[index] ?? "");
  return { store, writer, archive: archiveOn(store, { log }), log, spoil, ids, keyOf };
}

describe("a reader", () => {
  it("says that a current snapshot is current", async () => {
    const { archive, log } = await setUp();
    const { config, metadata, origin, kongVersion: version } = await archive.latest(signal);
    assert.deepEqual(Buffer.from(config), snapshotOf("c").config);
    assert.deepEqual(metadata, snapshotOf("c").metadata);
    assert.deepEqual({ origin, version }, { origin: { kind: "current" }, version: "3.9.1" });
    assert.deepEqual(log.lines, []);
  });

  const unusable: readonly [string, Change, string][] = [
    ["damaged", { body: snapshotOf("x").config }, "SNAPSHOT_CORRUPT"],
    ["empty", { body: Buffer.alloc(0) }, "SNAPSHOT_CORRUPT"],
    ["no config", { body: Buffer.from("<html>"), metadata: {} }, "SNAPSHOT_CORRUPT"],
    ["too long", { body: Buffer.alloc(20_000) }, "STORE_TOO_LARGE"],
    ["too long to be read", { body: Buffer.alloc(200_000) }, "STORE_TOO_LARGE"],
  ];
  for (const [what, change, code] of unusable) {
    it(`takes the newest of the history that was not held back if the current one is ${what}, and says so`, async () => {
      const { archive, log, spoil, ids } = await setUp();
      spoil(KEY, change);
      const { config, metadata, origin } = await archive.latest(signal);
      assert.deepEqual(Buffer.from(config), snapshotOf("c").config);
      assert.deepEqual(metadata, snapshotOf("c").metadata);
      assert.deepEqual(origin, { kind: "history", id: ids[1] });
      const [said, ...others] = log.lines;
      assert.deepEqual([said?.level, said?.message, others], ["error", INSTEAD, []]);
      assert.equal(said?.fields["id"], ids[1]);
      const error = said?.fields["err"];
      assert.ok(error instanceof SnapshotError || error instanceof StoreError);
      assert.equal(error.code, code);
    });
  }

  it("does so if the current one is gone", async () => {
    const { store, archive, log, ids } = await setUp();
    store.objects.delete(KEY);
    assert.deepEqual((await archive.latest(signal)).origin, { kind: "history", id: ids[1] });
    assert.equal(log.find(INSTEAD).length, 1);
  });

  it("passes over what is damaged in the history, too", async () => {
    const { archive, log, spoil, ids, keyOf } = await setUp();
    spoil(KEY, { body: Buffer.from("{") });
    spoil(keyOf(1), { body: Buffer.alloc(20_000) });
    spoil(keyOf(2), { body: Buffer.from("no gzip") });
    assert.deepEqual((await archive.latest(signal)).origin, { kind: "history", id: ids[3] });
    assert.deepEqual(
      log.find(SPOILT).map(({ fields }) => fields["id"]),
      [ids[1], ids[2]],
    );
  });

  it("complains of the first three of a history of which it can use nothing, and of the rest at once", async () => {
    const { store, writer, archive, log, spoil } = await setUp();
    for (const name of ["e", "f"]) await writer.save(snapshotOf(name), CONDITIONAL, signal);
    for (const key of store.objects.keys()) spoil(key, { body: Buffer.from("damaged") });
    await assert.rejects(archive.latest(signal), { code: "SNAPSHOT_CORRUPT" });
    assert.equal(log.find(SPOILT).length, 3);
    const [rest] = log.find("nothing in the history can be used");
    assert.equal(rest?.fields["count"], 5);
  });

  it("says what is wrong with the current one if nothing of the history is good", async () => {
    const { store, archive, spoil, keyOf } = await setUp();
    for (const index of [1, 2, 3]) spoil(keyOf(index), { body: Buffer.from("no gzip") });
    spoil(KEY, { body: Buffer.from("{") });
    await assert.rejects(archive.latest(signal), {
      code: "SNAPSHOT_CORRUPT",
      message: /config\.json/,
    });
    store.objects.delete(KEY);
    await assert.rejects(archive.latest(signal), { code: "SNAPSHOT_MISSING" });
  });

  it("takes none of the history where a newer program, or another Kong version, wrote the current one", async () => {
    for (const [metadata, code] of [
      [{ format: "kong-fallback/2" }, "SNAPSHOT_UNKNOWN_FORMAT"],
      [{ "kong-version": kongVersion("3.8.0") }, "SNAPSHOT_WRONG_VERSION"],
    ] as const) {
      const { store, archive, spoil } = await setUp();
      spoil(KEY, { metadata: { ...store.objects.get(KEY)?.metadata, ...metadata } });
      await assert.rejects(archive.latest(signal), { code });
    }
  });

  it("takes nothing older than what a newer program added to the history", async () => {
    const { store, archive, spoil, keyOf } = await setUp();
    spoil(KEY, { body: Buffer.from("{") });
    const { metadata } = store.objects.get(keyOf(1)) ?? {};
    spoil(keyOf(1), { metadata: { ...metadata, format: "kong-fallback/2" } });
    await assert.rejects(archive.latest(signal), { code: "SNAPSHOT_UNKNOWN_FORMAT" });
  });

  it("waits for a store that is down, and takes what is wrong with the current one for the reason where it may not list", async () => {
    const { store, archive, spoil } = await setUp();
    const down = new StoreError("STORE_UNAVAILABLE", "down");
    store.failNext(down);
    await assert.rejects(archive.latest(signal), (error) => error === down);
    spoil(KEY, { body: Buffer.from("{") });
    const fail = (error: Error) => {
      store.intercept = async (operation) => {
        if (operation === "list") throw error;
      };
    };
    fail(down);
    await assert.rejects(archive.latest(signal), (error) => error === down);
    fail(new StoreError("STORE_DENIED", "no list"));
    await assert.rejects(archive.latest(signal), { code: "SNAPSHOT_CORRUPT" });
  });
});

describe("a reader that looks again and again", () => {
  it("takes the same stand-in for a damaged current snapshot once, and the next one that is saved", async () => {
    const { store, writer, archive, log, spoil, ids } = await setUp();
    spoil(KEY, { body: Buffer.from("{") });
    const first = await archive.refresh(undefined, signal);
    assert.deepEqual(first?.snapshot.origin, { kind: "history", id: ids[1] });
    store.bytesRead = 0;
    assert.equal(await archive.refresh(first?.version, signal), undefined);
    assert.deepEqual([store.bytesRead, log.find(INSTEAD).length], [0, 1]);
    await writer.recall(signal);
    await writer.save(snapshotOf("e"), CONDITIONAL, signal);
    const next = await archive.refresh(first?.version, signal);
    assert.deepEqual(Buffer.from(next?.snapshot.config ?? ""), snapshotOf("e").config);
  });

  it("does so for one that is gone, or too long", async () => {
    for (const lose of ["gone", "too long"]) {
      const { store, archive, log, spoil } = await setUp();
      if (lose === "gone") store.objects.delete(KEY);
      else spoil(KEY, { body: Buffer.alloc(20_000) });
      const first = await archive.refresh(undefined, signal);
      assert.ok(first);
      assert.equal(await archive.refresh(first.version, signal), undefined);
      assert.equal(log.find(INSTEAD).length, 1);
    }
  });
});
