import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { SnapshotError } from "../../src/snapshots/errors.ts";
import type { VersionMatch } from "../../src/snapshots/order.ts";
import { StoreReader } from "../../src/snapshots/reader.ts";
import { type Key, StoreError, type Version } from "../../src/store/port.ts";
import { CLUSTER_1, kongVersion, snapshotOf } from "../fakes/config.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import {
  archiveOn,
  type Change,
  CONDITIONAL,
  historyKey,
  INSTEAD,
  KEY,
  made,
  objectIn,
  optionsOn,
  SPOILT,
  signal,
  spoil,
  spoil as spoilIn,
} from "./stage.ts";

/** A store in which an exporter saved config "a", a reader of it, and the version it has seen. */
async function seenOnce() {
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
    const { store, first } = await seenOnce();
    assert.deepEqual(Buffer.from(first.snapshot.config), snapshotOf("a").config);
    assert.deepEqual(first.snapshot.metadata, snapshotOf("a").metadata);
    assert.equal(first.version, store.objects.get(KEY)?.version);
  });

  it("gives undefined while it is the one already seen, and moves no body", async () => {
    const { store, archive, seen } = await seenOnce();
    const before = store.bytesRead;
    assert.equal(await archive.refresh(seen, signal), undefined);
    assert.equal(store.bytesRead, before);
  });

  it("gives the one that was saved since", async () => {
    const { exporter, archive, seen } = await seenOnce();
    await exporter.save(snapshotOf("b"), CONDITIONAL, signal);
    const next = await archive.refresh(seen, signal);
    assert.deepEqual(Buffer.from(next?.snapshot.config ?? ""), snapshotOf("b").config);
    assert.ok(next);
    assert.equal(await archive.refresh(next.version, signal), undefined);
  });

  it("refuses one that is damaged, at every call, and takes the repaired one", async () => {
    const { store, archive, seen } = await seenOnce();
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
    const { store, archive, seen } = await seenOnce();
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
    const { store, archive, seen } = await seenOnce();
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

/** "a", "b", "c" were saved one after the other; then "d" was held back. */
async function withHistory() {
  const store = new MemoryStore();
  const writer = archiveOn(store);
  for (const [seconds, name] of ["a", "b", "c"].entries()) {
    await writer.save(made(name, seconds), CONDITIONAL, signal);
  }
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
    const { archive, log } = await withHistory();
    const { config, metadata, origin, kongVersion: version } = await archive.latest(signal);
    assert.deepEqual(Buffer.from(config), snapshotOf("c").config);
    assert.deepEqual(metadata, made("c", 2).metadata);
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
      const { archive, log, spoil, ids } = await withHistory();
      spoil(KEY, change);
      const { config, metadata, origin } = await archive.latest(signal);
      assert.deepEqual(Buffer.from(config), snapshotOf("c").config);
      assert.deepEqual(metadata, made("c", 2).metadata);
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
    const { store, archive, log, ids } = await withHistory();
    store.objects.delete(KEY);
    assert.deepEqual((await archive.latest(signal)).origin, { kind: "history", id: ids[1] });
    assert.equal(log.find(INSTEAD).length, 1);
  });

  it("passes over what is damaged in the history, too", async () => {
    const { archive, log, spoil, ids, keyOf } = await withHistory();
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
    const { store, writer, archive, log, spoil } = await withHistory();
    for (const name of ["e", "f"]) await writer.save(snapshotOf(name), CONDITIONAL, signal);
    for (const key of store.objects.keys()) spoil(key, { body: Buffer.from("damaged") });
    await assert.rejects(archive.latest(signal), { code: "SNAPSHOT_CORRUPT" });
    assert.equal(log.find(SPOILT).length, 3);
    const [rest] = log.find("nothing in the history can be used");
    assert.equal(rest?.fields["count"], 5);
  });

  it("says what is wrong with the current one if nothing of the history is good", async () => {
    const { store, archive, spoil, keyOf } = await withHistory();
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
      const { store, archive, spoil } = await withHistory();
      spoil(KEY, { metadata: { ...store.objects.get(KEY)?.metadata, ...metadata } });
      await assert.rejects(archive.latest(signal), { code });
    }
  });

  it("takes nothing older than what a newer program added to the history", async () => {
    const { store, archive, spoil, keyOf } = await withHistory();
    spoil(KEY, { body: Buffer.from("{") });
    const { metadata } = store.objects.get(keyOf(1)) ?? {};
    spoil(keyOf(1), { metadata: { ...metadata, format: "kong-fallback/2" } });
    await assert.rejects(archive.latest(signal), { code: "SNAPSHOT_UNKNOWN_FORMAT" });
  });

  it("waits for a store that is down, and takes what is wrong with the current one for the reason where it may not list", async () => {
    const { store, archive, spoil } = await withHistory();
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
    const { store, writer, archive, log, spoil, ids } = await withHistory();
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
      const { store, archive, log, spoil } = await withHistory();
      if (lose === "gone") store.objects.delete(KEY);
      else spoil(KEY, { body: Buffer.alloc(20_000) });
      const first = await archive.refresh(undefined, signal);
      assert.ok(first);
      assert.equal(await archive.refresh(first.version, signal), undefined);
      assert.equal(log.find(INSTEAD).length, 1);
    }
  });
});

const OLDER = "no snapshot for this Kong version, that of the nearest older one is used";

async function saveFor(store: MemoryStore, version: string, name = version): Promise<void> {
  const snapshot = snapshotOf(name, { kongVersion: kongVersion(version) });
  const archive = archiveOn(store, { kongVersion: kongVersion(version) });
  await archive.save(snapshot, CONDITIONAL, signal);
}

async function wanting(wanted: string, saved: readonly string[], match: VersionMatch = "patch") {
  const store = new MemoryStore();
  for (const version of saved) await saveFor(store, version);
  const log = new RecordingLog();
  const options = { ...optionsOn(store), kongVersion: kongVersion(wanted), match, log };
  return { store, log, reader: new StoreReader(options) };
}

describe("the cluster that a snapshot is of", () => {
  it("stands in the metadata, and in the config where an older program wrote those", async () => {
    const store = new MemoryStore();
    const snapshot = snapshotOf("a", { clusterId: CLUSTER_1 });
    await archiveOn(store).save(snapshot, CONDITIONAL, signal);
    assert.equal(objectIn(store).metadata["cluster-id"], CLUSTER_1);
    const { "cluster-id": _, ...older } = objectIn(store).metadata;
    spoil(store, { metadata: older });
    const { metadata } = await archiveOn(store).latest(signal);
    assert.equal(metadata?.clusterId, CLUSTER_1);
  });
});

describe("a reader that may take an older version", () => {
  it("takes the exact one if there is one, and says nothing", async () => {
    const { reader, log } = await wanting("3.9.1", ["3.9.0", "3.9.1", "3.9.2"]);
    assert.equal(reader.name, "memory://test/3.9.1/config.json");
    assert.equal((await reader.latest(signal)).kongVersion, "3.9.1");
    assert.deepEqual(log.lines, []);
  });

  it("takes the nearest older one if not, and says so", async () => {
    const { reader, log } = await wanting("3.9.3", ["3.8.9", "3.9.0", "3.9.1", "3.9.4"]);
    const { kongVersion: used, config, metadata } = await reader.latest(signal);
    assert.deepEqual([used, metadata?.kongVersion], ["3.9.1", "3.9.1"]);
    assert.deepEqual(Buffer.from(config), snapshotOf("3.9.1").config);
    const [said] = log.lines;
    assert.deepEqual([said?.level, said?.message, log.lines.length], ["warn", OLDER, 1]);
    assert.deepEqual(said?.fields, { kongVersion: "3.9.3", usedVersion: "3.9.1" });
  });

  it("takes none by an exact match, nor one that is not near, and says which there are", async () => {
    for (const match of ["exact", "patch"] as const) {
      const { reader } = await wanting("3.9.1", ["3.8.0", "3.9.2"], match);
      await assert.rejects(reader.latest(signal), {
        code: "SNAPSHOT_MISSING",
        message: /for Kong 3\.9\.1 .* some for 3\.8\.0, 3\.9\.2/,
      });
    }
    const { reader } = await wanting("3.9.1", ["3.8.0", "3.9.2"], "minor");
    assert.equal((await reader.latest(signal)).kongVersion, "3.8.0");
  });

  it("finds an older one of which only the history is left", async () => {
    const { store, reader } = await wanting("3.9.1", ["3.8.0", "3.9.0"], "minor");
    store.objects.delete("3.9.0/config.json");
    const { kongVersion: used, origin } = await reader.latest(signal);
    assert.deepEqual([used, origin.kind], ["3.9.0", "history"]);
  });

  it("passes over an older one of which nothing but what was held back is left", async () => {
    const { store, reader } = await wanting("3.9.1", ["3.8.0", "3.9.0"], "minor");
    for (const [key, object] of [...store.objects]) {
      if (!key.startsWith("3.9.0/")) continue;
      store.objects.delete(key);
      const held = key.replace(".json.gz", ".held.json.gz");
      if (held !== key) store.objects.set(held, { ...object, key: held });
    }
    assert.equal((await reader.latest(signal)).kongVersion, "3.8.0");
  });

  it("takes no older one in place of one that is damaged", async () => {
    const { store, reader } = await wanting("3.9.1", ["3.9.0", "3.9.1"]);
    for (const key of store.objects.keys()) {
      if (key.startsWith("3.9.1/")) spoil(store, { body: Buffer.from("{") }, key);
    }
    await assert.rejects(reader.latest(signal), { code: "SNAPSHOT_CORRUPT" });
  });

  it("takes no older one in place of one that is gone and whose history is damaged", async () => {
    const { store, reader } = await wanting("3.9.1", ["3.9.0", "3.9.1"]);
    store.objects.delete("3.9.1/config.json");
    for (const key of store.objects.keys()) {
      if (key.startsWith("3.9.1/")) spoil(store, { body: Buffer.from("{") }, key);
    }
    await assert.rejects(reader.latest(signal), {
      code: "SNAPSHOT_MISSING",
      message: /is gone, its history is there/,
    });
  });

  it("says that all were held back where none has ever become current, and does not name such versions", async () => {
    const store = new MemoryStore();
    const { history } = archiveOn(store);
    await history.add(snapshotOf("first"), { held: "Kong refuses it", conditional: true }, signal);
    const own = new StoreReader(optionsOn(store));
    await assert.rejects(own.latest(signal), {
      code: "SNAPSHOT_MISSING",
      message:
        "no config for Kong 3.9.1 has become current in memory://test: all that came were held back",
    });
    await assert.rejects(archiveOn(store).sightCurrent(signal), /all that came were held back/);
    const other = new StoreReader({ ...optionsOn(store), kongVersion: kongVersion("3.8.0") });
    await assert.rejects(other.latest(signal), /no snapshot for Kong 3\.8\.0 in memory:\/\/test$/);
  });

  it("does not take a store that is down for one without the version", async () => {
    const { store, reader } = await wanting("3.9.1", ["3.9.0"]);
    const down = new StoreError("STORE_UNAVAILABLE", "down");
    store.failNext(down);
    await assert.rejects(reader.latest(signal), (error) => error === down);
  });

  it("needs to know which versions there are only where another one may stand in", async () => {
    for (const [match, code] of [
      ["exact", "SNAPSHOT_MISSING"],
      ["patch", "STORE_UNAVAILABLE"],
    ] as const) {
      const { store, reader } = await wanting("3.9.1", ["3.9.0"], match);
      store.intercept = async (operation, key) => {
        if (operation === "list" && key === "") throw new StoreError("STORE_UNAVAILABLE", "down");
      };
      await assert.rejects(reader.latest(signal), { code });
    }
  });

  it("looks again without moving or saying what it has, and takes the exact one once it comes", async () => {
    const { store, reader, log } = await wanting("3.9.1", ["3.9.0"]);
    const first = await reader.refresh(undefined, signal);
    assert.equal(first?.snapshot.kongVersion, "3.9.0");
    store.bytesRead = 0;
    assert.equal(await reader.refresh(first.version, signal), undefined);
    assert.deepEqual([store.bytesRead, log.find(OLDER).length], [0, 1]);
    await saveFor(store, "3.9.1");
    const next = await reader.refresh(first.version, signal);
    assert.equal(next?.snapshot.kongVersion, "3.9.1");
  });

  it("looks again without moving what would not do the last time, nor complaining of it, and lists once", async () => {
    const { store, reader, log } = await wanting("3.9.1", ["3.9.0"]);
    await saveFor(store, "3.9.0", "newer");
    store.objects.delete("3.9.0/config.json");
    const [newest] = [...store.objects.keys()].sort().reverse();
    spoil(store, { body: Buffer.from("damaged") }, newest);
    const first = await reader.refresh(undefined, signal);
    assert.equal(first?.snapshot.origin.kind, "history");
    const lists: string[] = [];
    store.intercept = async (operation, key) => {
      if (operation === "list") lists.push(key);
    };
    store.bytesRead = 0;
    assert.equal(await reader.refresh(first.version, signal), undefined);
    assert.equal(store.bytesRead, 0);
    assert.equal(log.find(SPOILT).length, 1);
    assert.deepEqual(lists, ["3.9.1/history", "", "3.9.0/history"]);
  });

  it("takes the exact one where the store tells it apart from the stand-in by neither body nor version", async () => {
    const { store, reader } = await wanting("3.9.1", ["3.9.0"]);
    const first = await reader.refresh(undefined, signal);
    assert.ok(first);
    await saveFor(store, "3.9.1");
    spoil(store, { version: first.version });
    assert.equal((await reader.refresh(first.version, signal))?.snapshot.kongVersion, "3.9.1");
    assert.equal(await reader.refresh(first.version, signal), undefined);
  });
});
