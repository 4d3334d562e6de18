import assert from "node:assert/strict";
import { describe, it } from "vitest";
import type { NewSnapshot } from "../../src/snapshots/snapshot.ts";
import { StoreError } from "../../src/store/port.ts";
import { snapshotOf } from "../fakes/config.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { archiveOn, CONDITIONAL, historyKey, KEY, made, nameIn, signal, spoil } from "./stage.ts";

const NOON = Date.parse("2026-11-21T12:00:00Z");
const FAILED = "snapshot not kept in the history, the next save will try again";

function setUp(store = new MemoryStore()) {
  const log = new RecordingLog();
  const archive = archiveOn(store, { log });
  const save = (snapshot: NewSnapshot) => archive.save(snapshot, CONDITIONAL, signal);
  /** The names in the history, the newest first. */
  const kept = async () => {
    const names: string[] = [];
    for (const { id } of await archive.history.list(signal)) {
      names.push(nameIn(await archive.history.read(id, signal)));
    }
    return names.join(" ");
  };
  return { store, log, archive, save, kept };
}

/** Every write below history/ fails. */
function breakHistory(store: MemoryStore): () => void {
  store.intercept = async (operation, key) => {
    if (operation === "put" && key !== KEY) throw new StoreError("STORE_DENIED", "not there");
  };
  return () => {
    store.intercept = async () => {};
  };
}

describe("an archive that keeps a history", () => {
  it("keeps there what it makes current, after it was made current", async () => {
    const { store, save, kept } = setUp();
    const order: string[] = [];
    store.intercept = async (operation, key) => {
      if (operation === "put") order.push(key === KEY ? "current" : "history");
    };
    await save(made("a", 0));
    await save(made("b", 1));
    assert.deepEqual(order, ["current", "history", "current", "history"]);
    assert.equal(await kept(), "b a");
  });

  it("keeps nothing unless it is told to", async () => {
    const { store, log } = setUp();
    const archive = archiveOn(store, { log, keepHistory: false });
    await archive.save(made("a", 0), CONDITIONAL, signal);
    await archive.ensureInHistory(CONDITIONAL, signal);
    assert.deepEqual([...store.objects.keys()], [KEY]);
    assert.equal(archive.holds(made("a", 0).metadata.configHash), true);
  });

  it("saves though the history cannot be written, says so, and adds it at the next save", async () => {
    const { store, log, archive, save, kept } = setUp();
    const mend = breakHistory(store);
    assert.equal((await save(made("a", 0))).kind, "saved");
    assert.equal(log.find(FAILED).length, 1);
    assert.equal(archive.holds(made("a", 0).metadata.configHash), false);
    mend();
    assert.equal((await save(made("a", 1))).kind, "unchanged");
    assert.equal(archive.holds(made("a", 0).metadata.configHash), true);
    assert.equal(await kept(), "a");
  });

  it("adds what its predecessor could not, before it replaces that", async () => {
    const { store, save } = setUp();
    const mend = breakHistory(store);
    await save(made("a", 0));
    mend();
    const next = setUp(store);
    await next.save(made("b", 1, { fencingToken: 2, exporterId: "exporter-2" }));
    assert.equal(await next.kept(), "b a");
  });

  it("adds what another one could not while it stood by, and what it could not itself after it could", async () => {
    const { store, archive, save, kept } = setUp();
    await save(made("a", 0));
    const mend = breakHistory(store);
    await setUp(store).save(made("b", 1));
    mend();
    await archive.recall(signal);
    await save(made("c", 2));
    assert.equal(await kept(), "c b a");
    breakHistory(store);
    await save(made("d", 3));
    mend();
    await save(made("e", 4));
    assert.equal(await kept(), "e d c b a");
  });

  it("adds the current snapshot when asked, once, and no copy by hand", async () => {
    const { store, save } = setUp();
    const mend = breakHistory(store);
    await save(made("a", 0));
    mend();
    const next = setUp(store);
    await next.archive.ensureInHistory(CONDITIONAL, signal);
    await setUp(store).archive.ensureInHistory(CONDITIONAL, signal);
    assert.equal(await next.kept(), "a");
    spoil(store, { body: snapshotOf("b").config, metadata: {} });
    await setUp(store).archive.ensureInHistory(CONDITIONAL, signal);
    assert.equal(await next.kept(), "a");
  });

  it("counts a save as done though it is told to stop while the history is written", async () => {
    const { store, log, archive } = setUp();
    const stop = new AbortController();
    store.intercept = async (operation, key) => {
      if (operation === "put" && key !== KEY) stop.abort(new Error("stopped"));
    };
    const outcome = await archive.save(made("a", 0), CONDITIONAL, stop.signal);
    assert.equal(outcome.kind, "saved");
    assert.equal(log.find(FAILED).length, 0);
  });

  it("reads no body of a full history to save, to prune, or to know the highest token", async () => {
    const { store, archive, save, kept } = setUp();
    for (let index = 0; index < 50; index += 1) await save(made(`config ${index}`, index));
    const held = { ...CONDITIONAL, held: "too small" };
    await archive.history.add(made("held", 50), held, signal);
    const next = setUp(store);
    await next.archive.recall(signal);
    store.bytesRead = 0;
    assert.equal(await archive.highestToken(signal), 0);
    assert.equal((await next.save(made("new", 51))).kind, "saved");
    await next.archive.prune({ maxCount: 1 }, new Date(NOON), signal);
    store.objects.delete(KEY);
    assert.equal(await archive.highestToken(signal), 0);
    assert.equal(store.bytesRead, 0);
    assert.equal(await kept(), "new held");
  });

  it("knows the highest token, though the current object is damaged, has lost its metadata, or is gone", async () => {
    const { store, archive, save } = setUp();
    assert.equal(await archive.highestToken(signal), 0);
    await save(made("a", 0, { fencingToken: 7 }));
    assert.equal(await archive.highestToken(signal), 7);
    spoil(store, { body: Buffer.from("{") });
    assert.equal(await archive.highestToken(signal), 7);
    spoil(store, { metadata: {} });
    assert.equal(await archive.highestToken(signal), 7);
    store.objects.delete(KEY);
    assert.equal(await archive.highestToken(signal), 7);
  });
});

describe("pruning the history", () => {
  async function six() {
    const parts = setUp();
    for (const [index, name] of ["a", "b", "c", "d", "e", "f"].entries()) {
      await parts.save(made(name, index));
    }
    return parts;
  }
  const now = new Date(NOON + 60_000);

  it("plans what it then does, the oldest first", async () => {
    const { store, archive, kept } = await six();
    const plan = await archive.planPrune({ maxCount: 2 }, now, signal);
    assert.deepEqual(new Set(plan.map(({ reason }) => reason)), new Set(["count"]));
    const deleted: string[] = [];
    store.intercept = async (operation, key) => {
      if (operation === "delete") deleted.push(key);
    };
    const report = await archive.prune({ maxCount: 2 }, now, signal);
    assert.deepEqual(
      report.removed,
      plan.map(({ entry }) => entry.id),
    );
    assert.deepEqual(deleted, report.removed.map(historyKey));
    assert.deepEqual(deleted, deleted.toSorted());
    assert.equal(await kept(), "f e");
  });

  it("leaves the newest ones, whole and without gaps, wherever it is cut off", async () => {
    for (let after = 0; after <= 4; after += 1) {
      const { store, archive, kept } = await six();
      const stop = new AbortController();
      const reason = new Error("killed");
      let deletes = 0;
      store.intercept = async (operation) => {
        if (operation === "delete") deletes += 1;
        if (deletes > after) stop.abort(reason);
      };
      const pruned = archive.prune({ maxCount: 2 }, now, stop.signal);
      if (after < 4) await assert.rejects(pruned, (error) => error === reason);
      else await pruned;
      assert.equal(await kept(), "f e d c b a".slice(0, 11 - 2 * after));
    }
  });

  it("keeps what is current though it is older than all else", async () => {
    const { store, archive, kept } = await six();
    const old = (await archive.history.list(signal)).at(-1);
    assert.ok(old);
    const { config, metadata } = await archive.history.read(old.id, signal);
    store.objects.delete(KEY);
    const plain = setUp(store).archive;
    const another = archiveOn(store, { keepHistory: false });
    await another.save({ config, metadata }, CONDITIONAL, signal);
    await plain.prune({ maxCount: 2 }, now, signal);
    assert.equal(await kept(), "f a");
  });
});
