import assert from "node:assert/strict";
import { describe, it } from "vitest";
import type { Version } from "../../src/store/port.ts";
import { StoreError } from "../../src/store/port.ts";
import { snapshotOf } from "../fakes/config.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { archiveOn, CONDITIONAL, KEY, objectIn, signal, spoil } from "./stage.ts";

/** A store in which an exporter saved config "a", a reader of it, and the version it has seen. */
async function setUp() {
  const store = new MemoryStore();
  const exporter = archiveOn(store, { keepHistory: false });
  await exporter.save(snapshotOf("a"), CONDITIONAL, signal);
  const archive = archiveOn(store);
  const first = await archive.refresh(undefined, signal);
  assert.ok(first);
  return { store, exporter, archive, first, seen: first.version };
}

describe("refreshing a snapshot", () => {
  it("gives the current one to a reader who has none, and the version of its object", async () => {
    const { store, first } = await setUp();
    assert.deepEqual(Buffer.from(first.snapshot.config), snapshotOf("a").config);
    assert.deepEqual(first.snapshot.metadata, snapshotOf("a").metadata);
    assert.equal(first.version, store.objects.get(KEY)?.version);
  });

  it("gives undefined while it is the one already seen, and moves no body", async () => {
    const { store, archive, seen } = await setUp();
    const before = store.bytesRead;
    assert.equal(await archive.refresh(seen, signal), undefined);
    assert.equal(store.bytesRead, before);
  });

  it("gives the one that was saved since", async () => {
    const { exporter, archive, seen } = await setUp();
    await exporter.save(snapshotOf("b"), CONDITIONAL, signal);
    const next = await archive.refresh(seen, signal);
    assert.deepEqual(Buffer.from(next?.snapshot.config ?? ""), snapshotOf("b").config);
    assert.ok(next);
    assert.equal(await archive.refresh(next.version, signal), undefined);
  });

  it("refuses one that is damaged, at every call, and takes the repaired one", async () => {
    const { store, archive, seen } = await setUp();
    const good = objectIn(store);
    spoil(store, { body: Buffer.from(good.body).fill("x", 20, 21) });
    for (let time = 0; time < 2; time += 1) {
      await assert.rejects(archive.refresh(seen, signal), {
        code: "SNAPSHOT_CORRUPT",
        message: /memory:\/\/test\/3\.9\.1\/config\.json/,
      });
    }
    store.objects.set(KEY, { ...good, version: "repaired" as Version });
    assert.equal((await archive.refresh(seen, signal))?.version, "repaired");
  });

  it("says that it is missing, whether or not one was seen before, and which versions there are", async () => {
    const { store, archive, seen } = await setUp();
    const object = objectIn(store);
    store.objects.clear();
    store.objects.set("3.8.0/config.json", { ...object, key: "3.8.0/config.json" });
    for (const version of [undefined, seen]) {
      await assert.rejects(archive.refresh(version, signal), {
        code: "SNAPSHOT_MISSING",
        message: /no snapshot for Kong 3\.9\.1 in memory:\/\/test; there are some for 3\.8\.0/,
      });
    }
  });

  it("passes on that the store does not answer, and an abort, and works again afterwards", async () => {
    const { store, archive, seen } = await setUp();
    const down = new StoreError("STORE_UNAVAILABLE", "down");
    store.failNext(down);
    await assert.rejects(archive.refresh(seen, signal), (error) => error === down);
    const reason = new Error("stopped");
    await assert.rejects(
      archive.refresh(seen, AbortSignal.abort(reason)),
      (error) => error === reason,
    );
    assert.equal(await archive.refresh(seen, signal), undefined);
  });
});
