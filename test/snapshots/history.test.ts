import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import { describe, it } from "vitest";
import { History } from "../../src/snapshots/history.ts";
import { parseHistoryId } from "../../src/snapshots/layout.ts";
import { PLAIN_SEAL, type Seal } from "../../src/snapshots/seal/seal.ts";
import type { NewSnapshot } from "../../src/snapshots/snapshot.ts";
import { StoreError } from "../../src/store/port.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { CONDITIONAL, historyKey, made, objectIn, optionsOn, signal, spoil } from "./stage.ts";

function setUp() {
  const store = new MemoryStore();
  return { store, history: new History(optionsOn(store)) };
}

async function idsOf(history: History): Promise<readonly string[]> {
  return (await history.list(signal)).map(({ id }) => id);
}

function hashOf({ metadata }: NewSnapshot): string {
  return (metadata.configHash ?? "").slice(0, 12);
}

describe("the history", () => {
  it("keeps the config's bytes, compressed, with the metadata of the current object", async () => {
    const { store, history } = setUp();
    const snapshot = made("a", 0.123);
    const id = await history.add(snapshot, CONDITIONAL, signal);
    assert.equal(id, `20261121T120000.123Z-${hashOf(snapshot)}`);
    const object = store.objects.get(historyKey(id));
    assert.deepEqual(gunzipSync(object?.body ?? ""), snapshot.config);
    assert.equal(object?.contentType, "application/gzip");
    const read = await history.read(id, signal);
    assert.deepEqual(
      { ...read, config: Buffer.from(read.config) },
      { ...snapshot, held: undefined },
    );
  });

  it("names a config without Kong's hash by its SHA-256", async () => {
    const { history } = setUp();
    const snapshot = made("a", 0, { configHash: undefined });
    const id = await history.add(snapshot, CONDITIONAL, signal);
    assert.equal(id.slice(-12), snapshot.metadata.sha256.slice(0, 12));
    assert.equal((await history.read(id, signal)).metadata.configHash, undefined);
  });

  it("lists the newest first, reads no body for it, and leaves out what is not of it", async () => {
    const { store, history } = setUp();
    const first = await history.add(made("a", 0), CONDITIONAL, signal);
    const second = await history.add(made("b", 1), { ...CONDITIONAL, held: "too small" }, signal);
    const body = Buffer.from("not ours");
    for (const name of [
      "notes.txt",
      "20261121T120000.123Z-0123456789ab.json",
      "20261341T120000.123Z-0123456789ab.json.gz",
      "sub/20261121T120000.123Z-0123456789ab.json.gz",
    ]) {
      const options = { metadata: {}, contentType: "text/plain" };
      await store.put(`3.9.1/history/${name}`, body, options, signal);
    }
    store.bytesRead = 0;
    const [newest, oldest, ...others] = await history.list(signal);
    assert.deepEqual([newest?.id, oldest?.id, others], [second, first, []]);
    assert.deepEqual(newest?.at, new Date("2026-11-21T12:00:01Z"));
    assert.equal(newest?.hash, hashOf(made("b", 1)));
    assert.deepEqual([newest?.held, oldest?.held], [true, false]);
    assert.equal(oldest?.bytes, store.objects.get(historyKey(first))?.bytes);
    assert.equal(store.bytesRead, 0);
  });

  it("says why a config was held back, in printable ASCII of at most 200 characters", async () => {
    const { history } = setUp();
    for (const [index, [reason, expected]] of [
      ["services: 40 -> 3", "services: 40 -> 3"],
      [" routes\n→ 0 ", "routes?? 0"],
      ["x".repeat(300), "x".repeat(200)],
      ["", "held"],
    ].entries()) {
      const snapshot = made(`config ${index}`, index);
      const id = await history.add(snapshot, { ...CONDITIONAL, held: reason ?? "" }, signal);
      assert.equal(id, `20261121T12000${index}.000Z-${hashOf(snapshot)}.held`);
      assert.equal((await history.read(id, signal)).held, expected);
    }
  });

  it("keeps a config once, as long as no other was kept after it", async () => {
    const { history } = setUp();
    const first = await history.add(made("a", 0), CONDITIONAL, signal);
    assert.equal(await history.add(made("a", 1), CONDITIONAL, signal), first);
    const second = await history.add(made("b", 2), CONDITIONAL, signal);
    const third = await history.add(made("a", 3), CONDITIONAL, signal);
    assert.deepEqual(await idsOf(history), [third, second, first]);
  });

  it("moves and packs a config that it kept, or found good, no more than once", async () => {
    const { store, history } = setUp();
    let closed = 0;
    const seal: Seal = {
      ...PLAIN_SEAL,
      close: (...args) => {
        closed += 1;
        return PLAIN_SEAL.close(...args);
      },
    };
    const other = new History({ ...optionsOn(store), seal });
    const held = { ...CONDITIONAL, held: "too small" };
    const id = await history.add(made("a", 0), held, signal);
    assert.equal(await history.add(made("a", 1), held, signal), id);
    assert.equal(store.bytesRead, 0);
    for (let times = 0; times < 2; times += 1) {
      assert.equal(await other.add(made("a", 2), held, signal), id);
    }
    assert.deepEqual([store.bytesRead, closed], [objectIn(store, historyKey(id)).bytes, 0]);
    spoil(store, { body: Buffer.from("damaged") }, historyKey(id));
    const fresh = await other.add(made("a", 3), held, signal);
    assert.notEqual(fresh, id);
    assert.notEqual(await other.add(made("a", 4, { rehearsed: true }), held, signal), fresh);
  });

  it("keeps a config that was held back and then made current as both", async () => {
    const { history } = setUp();
    const held = await history.add(made("a", 0), { ...CONDITIONAL, held: "empty" }, signal);
    const saved = await history.add(made("a", 0), CONDITIONAL, signal);
    assert.notEqual(saved, held);
    assert.equal(
      await history.add(made("a", 1), { ...CONDITIONAL, held: "still empty" }, signal),
      held,
    );
    assert.equal((await history.read(saved, signal)).held, undefined);
    assert.equal((await history.read(held, signal)).held, "empty");
  });

  it("orders by when they were added, though an exporter's clock is behind", async () => {
    const { history } = setUp();
    const first = await history.add(made("a", 0), CONDITIONAL, signal);
    const second = await history.add(made("b", -3_600), CONDITIONAL, signal);
    assert.equal(second.slice(0, 20), "20261121T120000.001Z");
    assert.deepEqual(await idsOf(history), [second, first]);
    const { metadata } = await history.read(second, signal);
    assert.deepEqual(metadata.exportedAt, new Date("2026-11-21T11:00:00Z"));
  });

  it("overwrites nothing when two exporters add at once", async () => {
    const { store, history } = setUp();
    let waiting: (() => void)[] = [];
    store.intercept = async (operation) => {
      if (operation !== "put" || waiting.length === 2) return;
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
        if (waiting.length === 2) for (const go of waiting) go();
      });
    };
    // One name, for the hash is the same, and other bytes.
    const one = made("a", 0);
    const other = made("b", 0, { configHash: one.metadata.configHash });
    const ids = await Promise.all([one, other].map((one) => history.add(one, CONDITIONAL, signal)));
    waiting = [];
    assert.equal(ids[0], ids[1]);
    assert.equal(store.objects.size, 1);
  });

  it("gives up after its name was taken a few times", async () => {
    const { store, history } = setUp();
    let puts = 0;
    store.intercept = async (operation) => {
      if (operation !== "put") return;
      puts += 1;
      throw new StoreError("STORE_PRECONDITION_FAILED", "somebody else wrote");
    };
    await assert.rejects(history.add(made("a", 0), CONDITIONAL, signal), {
      code: "STORE_PRECONDITION_FAILED",
    });
    assert.equal(puts, 6);
  });

  it("adds what seemed to fail only once", async () => {
    const { store, history } = setUp();
    const put = store.put.bind(store);
    store.put = async (...args) => {
      await put(...args);
      throw new StoreError("STORE_UNAVAILABLE", "the answer was lost");
    };
    await assert.rejects(history.add(made("a", 0), CONDITIONAL, signal), /answer was lost/);
    store.put = put;
    const id = await history.add(made("a", 0), CONDITIONAL, signal);
    assert.deepEqual(await idsOf(history), [id]);
  });

  it("names the ids most like one that it does not have", async () => {
    const { history } = setUp();
    await assert.rejects(history.read("x", signal), {
      code: "SNAPSHOT_MISSING",
      message: 'there is no snapshot "x" in the history of Kong 3.9.1 in memory://test',
      hint: "The history is empty.",
    });
    const ids: string[] = [];
    for (let index = 0; index < 5; index += 1) {
      ids.push(await history.add(made(`config ${index}`, index * 60), CONDITIONAL, signal));
    }
    const hints = async (id: string) => {
      const error: unknown = await history.read(id, signal).catch((reason: unknown) => reason);
      return error instanceof Error && "hint" in error ? error.hint : assert.fail();
    };
    assert.equal(await hints(ids[2]?.slice(-12) ?? ""), `Did you mean ${ids[2]}?`);
    const near = await hints(`${ids[3]?.slice(0, 14)}9${ids[3]?.slice(15)}`);
    assert.match(String(near), new RegExp(`^Did you mean ${ids[3]?.slice(0, 13)}`));
    assert.equal(String(near).split(" or ").length, 3);
  });

  it("removes one by one, goes on after a failure, and never touches what is not of it", async () => {
    const { store, history } = setUp();
    const ids: string[] = [];
    for (const [index, name] of ["a", "b", "c"].entries()) {
      ids.push(await history.add(made(name, index), CONDITIONAL, signal));
    }
    const denied = new StoreError("STORE_DENIED", "no delete");
    store.intercept = async (operation, key) => {
      if (operation === "delete" && key.includes(ids[1] ?? "")) throw denied;
    };
    assert.deepEqual(await history.remove(ids, signal), {
      removed: [ids[0], ids[2]],
      failed: [{ id: ids[1], error: denied }],
    });
    assert.deepEqual(await idsOf(history), [ids[1]]);
    await assert.rejects(history.remove([ids[1] ?? "", "../config"], signal), {
      code: "SNAPSHOT_MISSING",
    });
    assert.deepEqual(await idsOf(history), [ids[1]]);
  });
});

describe("the id of a history entry", () => {
  it("is read only in the form in which it is written", () => {
    const id = "20261121T113500.123Z-0123456789ab";
    assert.deepEqual(parseHistoryId(id)?.at, new Date("2026-11-21T11:35:00.123Z"));
    for (const bad of [
      "",
      id.slice(0, -1),
      `${id}c`,
      `${id}.held.held`,
      id.toUpperCase(),
      id.replace("1121", "0231"),
      id.replace("T11", "T24"),
    ]) {
      assert.equal(parseHistoryId(bad), undefined, bad);
    }
  });
});
