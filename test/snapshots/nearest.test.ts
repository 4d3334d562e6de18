import assert from "node:assert/strict";
import { describe, it } from "vitest";
import type { VersionMatch } from "../../src/snapshots/order.ts";
import { StoreReader } from "../../src/snapshots/reader.ts";
import { StoreError } from "../../src/store/port.ts";
import { kongVersion, snapshotOf } from "../fakes/config.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { archiveOn, CONDITIONAL, optionsOn, SPOILT, signal, spoil } from "./stage.ts";

const OLDER = "no snapshot for this Kong version, that of the nearest older one is used";

async function save(store: MemoryStore, version: string, name = version): Promise<void> {
  const snapshot = snapshotOf(name, { kongVersion: kongVersion(version) });
  const archive = archiveOn(store, { kongVersion: kongVersion(version) });
  await archive.save(snapshot, CONDITIONAL, signal);
}

async function setUp(wanted: string, saved: readonly string[], match: VersionMatch = "patch") {
  const store = new MemoryStore();
  for (const version of saved) await save(store, version);
  const log = new RecordingLog();
  const options = { ...optionsOn(store), kongVersion: kongVersion(wanted), match, log };
  return { store, log, reader: new StoreReader(options) };
}

describe("a reader that may take an older version", () => {
  it("takes the exact one if there is one, and says nothing", async () => {
    const { reader, log } = await setUp("3.9.1", ["3.9.0", "3.9.1", "3.9.2"]);
    assert.equal(reader.name, "memory://test/3.9.1/config.json");
    assert.equal((await reader.latest(signal)).kongVersion, "3.9.1");
    assert.deepEqual(log.lines, []);
  });

  it("takes the nearest older one if not, and says so", async () => {
    const { reader, log } = await setUp("3.9.3", ["3.8.9", "3.9.0", "3.9.1", "3.9.4"]);
    const { kongVersion: used, config, metadata } = await reader.latest(signal);
    assert.deepEqual([used, metadata?.kongVersion], ["3.9.1", "3.9.1"]);
    assert.deepEqual(Buffer.from(config), snapshotOf("3.9.1").config);
    const [said] = log.lines;
    assert.deepEqual([said?.level, said?.message, log.lines.length], ["warn", OLDER, 1]);
    assert.deepEqual(said?.fields, { kongVersion: "3.9.3", usedVersion: "3.9.1" });
  });

  it("takes none by an exact match, nor one that is not near, and says which there are", async () => {
    for (const match of ["exact", "patch"] as const) {
      const { reader } = await setUp("3.9.1", ["3.8.0", "3.9.2"], match);
      await assert.rejects(reader.latest(signal), {
        code: "SNAPSHOT_MISSING",
        message: /for Kong 3\.9\.1 .* some for 3\.8\.0, 3\.9\.2/,
      });
    }
    const { reader } = await setUp("3.9.1", ["3.8.0", "3.9.2"], "minor");
    assert.equal((await reader.latest(signal)).kongVersion, "3.8.0");
  });

  it("finds an older one of which only the history is left", async () => {
    const { store, reader } = await setUp("3.9.1", ["3.8.0", "3.9.0"], "minor");
    store.objects.delete("3.9.0/config.json");
    const { kongVersion: used, origin } = await reader.latest(signal);
    assert.deepEqual([used, origin.kind], ["3.9.0", "history"]);
  });

  it("passes over an older one of which nothing but what was held back is left", async () => {
    const { store, reader } = await setUp("3.9.1", ["3.8.0", "3.9.0"], "minor");
    for (const [key, object] of [...store.objects]) {
      if (!key.startsWith("3.9.0/")) continue;
      store.objects.delete(key);
      const held = key.replace(".json.gz", ".held.json.gz");
      if (held !== key) store.objects.set(held, { ...object, key: held });
    }
    assert.equal((await reader.latest(signal)).kongVersion, "3.8.0");
  });

  it("takes no older one in place of one that is damaged", async () => {
    const { store, reader } = await setUp("3.9.1", ["3.9.0", "3.9.1"]);
    for (const key of store.objects.keys()) {
      if (key.startsWith("3.9.1/")) spoil(store, { body: Buffer.from("{") }, key);
    }
    await assert.rejects(reader.latest(signal), { code: "SNAPSHOT_CORRUPT" });
  });

  it("takes no older one in place of one that is gone and whose history is damaged", async () => {
    const { store, reader } = await setUp("3.9.1", ["3.9.0", "3.9.1"]);
    store.objects.delete("3.9.1/config.json");
    for (const key of store.objects.keys()) {
      if (key.startsWith("3.9.1/")) spoil(store, { body: Buffer.from("{") }, key);
    }
    await assert.rejects(reader.latest(signal), {
      code: "SNAPSHOT_MISSING",
      message: /is gone, its history is there/,
    });
  });

  it("does not take a store that is down for one without the version", async () => {
    const { store, reader } = await setUp("3.9.1", ["3.9.0"]);
    const down = new StoreError("STORE_UNAVAILABLE", "down");
    store.failNext(down);
    await assert.rejects(reader.latest(signal), (error) => error === down);
  });

  it("looks again without moving or saying what it has, and takes the exact one once it comes", async () => {
    const { store, reader, log } = await setUp("3.9.1", ["3.9.0"]);
    const first = await reader.refresh(undefined, signal);
    assert.equal(first?.snapshot.kongVersion, "3.9.0");
    store.bytesRead = 0;
    assert.equal(await reader.refresh(first.version, signal), undefined);
    assert.deepEqual([store.bytesRead, log.find(OLDER).length], [0, 1]);
    await save(store, "3.9.1");
    const next = await reader.refresh(first.version, signal);
    assert.equal(next?.snapshot.kongVersion, "3.9.1");
  });

  it("looks again without moving what would not do the last time, nor complaining of it, and lists once", async () => {
    const { store, reader, log } = await setUp("3.9.1", ["3.9.0"]);
    await save(store, "3.9.0", "newer");
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
    const { store, reader } = await setUp("3.9.1", ["3.9.0"]);
    const first = await reader.refresh(undefined, signal);
    assert.ok(first);
    await save(store, "3.9.1");
    spoil(store, { version: first.version });
    assert.equal((await reader.refresh(first.version, signal))?.snapshot.kongVersion, "3.9.1");
    assert.equal(await reader.refresh(first.version, signal), undefined);
  });
});
