import assert from "node:assert/strict";
import { gunzipSync } from "node:zlib";
import { describe, it } from "vitest";
import { PLAIN_SEAL } from "../../src/snapshots/seal/seal.ts";
import { StoreError } from "../../src/store/port.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { agePair, roles, sealWith, signingPair } from "../fakes/seals.ts";
import { archiveOn, CONDITIONAL, ETAG, KEY, made, objectIn, signal } from "./stage.ts";

const CANARY = "canary";

function isInClear(body: Uint8Array): boolean {
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");
  const isGzip = body[0] === 0x1f && body[1] === 0x8b;
  return text(isGzip ? gunzipSync(body) : body).includes(CANARY);
}

describe("what is sealed", () => {
  it("is nowhere in the clear in the store, and comes back byte for byte", async () => {
    const store = new MemoryStore();
    const { exporter, reader } = await roles();
    const snapshot = made(CANARY, 0, { entities: { services: 1 } });
    await archiveOn(store).save(snapshot, CONDITIONAL, signal);
    assert.deepEqual(
      [...store.objects.values()].map(({ body }) => isInClear(body)),
      [true, true],
    );
    store.objects.clear();
    const archive = archiveOn(store, { seal: exporter });
    await archive.save(snapshot, CONDITIONAL, signal);
    const held = made(`${CANARY}2`, 1);
    const heldId = await archive.history.add(held, { held: "why", conditional: true }, signal);
    assert.equal(store.objects.size, 3);
    for (const { body, metadata } of store.objects.values()) {
      assert.equal(isInClear(body), false);
      assert.equal(JSON.stringify(metadata).includes(CANARY), false);
      assert.equal(metadata["sealed"], "age");
    }
    const own = archiveOn(store, { seal: reader });
    const latest = await own.latest(signal);
    assert.deepEqual(Buffer.from(latest.config), snapshot.config);
    assert.deepEqual(latest.metadata, snapshot.metadata);
    const kept = await own.history.read(heldId, signal);
    assert.deepEqual(Buffer.from(kept.config), held.config);
    assert.equal(kept.held, "why");
  });

  it("has no blanks after the config, for no two bodies are the same", async () => {
    const store = new MemoryStore();
    const { exporter, reader } = await roles();
    await archiveOn(store, { seal: exporter }).save(made("a", 0), CONDITIONAL, signal);
    const { length } = objectIn(store).body;
    store.objects.set(KEY, { ...objectIn(store), version: ETAG });
    await archiveOn(store, { seal: exporter }).save(made("b", 1), CONDITIONAL, signal);
    assert.equal(objectIn(store).body.length, length);
    const { config } = await archiveOn(store, { seal: reader }).latest(signal);
    assert.deepEqual(Buffer.from(config), made("b", 1).config);
  });

  it("is signed with the blanks left out, where it is signed only", async () => {
    const store = new MemoryStore();
    const { signing, verify } = signingPair();
    const seal = sealWith({ signingKey: signing });
    await archiveOn(store, { seal }).save(made("a", 0), CONDITIONAL, signal);
    store.objects.set(KEY, { ...objectIn(store), version: ETAG });
    await archiveOn(store, { seal }).save(made("b", 1), CONDITIONAL, signal);
    assert.match(Buffer.from(objectIn(store).body).toString(), /[ \n]{64}$/);
    const { config } = await archiveOn(store, { seal: sealWith({ verifyKeys: [verify] }) }).latest(
      signal,
    );
    assert.deepEqual(Buffer.from(config), made("b", 1).config);
  });
});

describe("an exporter that cannot read what it writes", () => {
  it("knows by the metadata what lies there, without a word but at debug", async () => {
    const store = new MemoryStore();
    const { exporter } = await roles();
    const saved = made("a", 0, { fencingToken: 3 });
    await archiveOn(store, { seal: exporter }).save(saved, CONDITIONAL, signal);
    const log = new RecordingLog();
    const archive = archiveOn(store, { seal: exporter, log });
    assert.deepEqual(await archive.recall(signal), saved.metadata);
    assert.equal(await archive.highestToken(signal), 3);
    assert.equal((await archive.save(saved, CONDITIONAL, signal)).kind, "unchanged");
    assert.equal(archive.holds(saved.metadata.configHash, 3), true);
    const stale = await archive.save(made("b", 9, { fencingToken: 2 }), CONDITIONAL, signal);
    assert.equal(stale.kind, "stale");
    const newer = made("b", 9, { fencingToken: 4, exporterId: "exporter-2" });
    const unconfirmed = await archive.save(newer, { conditional: true }, signal);
    assert.equal(unconfirmed.kind, "unconfirmed");
    assert.equal((await archive.save(newer, CONDITIONAL, signal)).kind, "saved");
    assert.deepEqual([...new Set(log.lines.map(({ level }) => level))], ["debug"]);
    store.objects.delete(KEY);
    assert.equal(await archiveOn(store, { seal: exporter }).highestToken(signal), 4);
  });

  it("adds to the history what an exporter before it, or a lost answer, left out there, if it has the config itself", async () => {
    const { store, archive, log, reader } = await withoutHistory();
    assert.equal((await archive.save(made("a", 0), CONDITIONAL, signal)).kind, "unchanged");
    assert.equal(archive.holds(made("a", 0).metadata.configHash), true);
    const { history } = archiveOn(store, { seal: reader });
    const [entry, ...others] = await history.list(signal);
    assert.deepEqual(others, []);
    assert.deepEqual(
      Buffer.from((await history.read(entry?.id ?? "", signal)).config),
      made("a", 0).config,
    );
    assert.deepEqual([...log.find("warn"), ...log.find("error")], []);
  });

  it("cannot add to the history what an exporter before it did not, says so once, and goes on", async () => {
    const { store, archive, log, reader } = await withoutHistory();
    for (let round = 0; round < 2; round += 1) await archive.ensureInHistory(CONDITIONAL, signal);
    const [warning, ...others] = log.find("warn");
    assert.match(warning?.message ?? "", /missing from the history, and cannot be added/);
    assert.deepEqual([...others, ...log.find("error")], []);
    assert.equal((await archive.save(made("b", 1), CONDITIONAL, signal)).kind, "saved");
    assert.equal((await archiveOn(store, { seal: reader }).history.list(signal)).length, 1);
  });

  /** "a" is current and not in the history, and `archive` cannot open it. */
  async function withoutHistory() {
    const store = new MemoryStore();
    const { exporter, reader } = await roles();
    await archiveOn(store, { seal: exporter }).save(made("a", 0), CONDITIONAL, signal);
    for (const key of [...store.objects.keys()]) if (key !== KEY) store.objects.delete(key);
    const log = new RecordingLog();
    return { store, archive: archiveOn(store, { seal: exporter, log }), log, exporter, reader };
  }

  it.each(["the history cannot be written", "the answer to its write is lost"])(
    "adds to the history later what it wrote itself, where %s",
    async (fault) => {
      const store = new MemoryStore();
      const { exporter, reader } = await roles();
      const log = new RecordingLog();
      const archive = archiveOn(store, { seal: exporter, log });
      const error = new StoreError("STORE_UNAVAILABLE", "down");
      if (fault.startsWith("the history")) {
        store.intercept = async (operation) => {
          if (operation === "list") throw error;
        };
        assert.equal((await archive.save(made("a", 0), CONDITIONAL, signal)).kind, "saved");
      } else {
        const { put } = store;
        store.put = async (...call) => {
          await put.apply(store, call);
          throw error;
        };
        await assert.rejects(archive.save(made("a", 0), CONDITIONAL, signal), error);
        store.put = put;
      }
      store.intercept = async () => {};
      assert.equal((await archive.save(made("b", 1), CONDITIONAL, signal)).kind, "saved");
      const { history } = archiveOn(store, { seal: reader });
      const kept = await Promise.all(
        (await history.list(signal)).map(({ id }) => history.read(id, signal)),
      );
      assert.deepEqual(
        kept.map(({ config }) => Buffer.from(config)),
        [made("b", 1), made("a", 0)].map(({ config }) => Buffer.from(config)),
      );
      assert.deepEqual(log.find("warn"), []);
    },
  );

  it("adds nothing of its own to the history once another one's config lies there", async () => {
    const { store, archive, exporter, reader } = await withoutHistory();
    await archive.recall(signal);
    const newer = made("b", 1, { exporterId: "exporter-2" });
    await archiveOn(store, { seal: exporter }).save(newer, CONDITIONAL, signal);
    assert.equal((await archive.save(made("a", 0), CONDITIONAL, signal)).kind, "unchanged");
    const kept = await archiveOn(store, { seal: reader }).history.list(signal);
    assert.deepEqual(
      kept.map(({ hash }) => hash),
      [newer.metadata.configHash?.slice(0, 12)],
    );
  });
});

describe("a change of keys", () => {
  it("has the same config written once more, in the history too: sealed now, for others now, by another key now", async () => {
    const store = new MemoryStore();
    const [one, two] = [await agePair(), await agePair()];
    const [old, fresh] = [signingPair(), signingPair()];
    const seals = [
      PLAIN_SEAL,
      sealWith({ recipients: [one.recipient] }),
      sealWith({ recipients: [one.recipient, two.recipient] }),
      sealWith({ recipients: [one.recipient, two.recipient], signingKey: old.signing }),
      sealWith({
        recipients: [one.recipient, two.recipient],
        signingKey: fresh.signing,
        verifyKeys: [old.verify],
      }),
    ];
    for (const [index, seal] of seals.entries()) {
      const archive = archiveOn(store, { seal });
      await archive.recall(signal);
      const { configHash } = made("a", 0).metadata;
      assert.equal(archive.holds(configHash), false);
      assert.equal((await archive.save(made("a", 0), CONDITIONAL, signal)).kind, "saved");
      assert.equal((await archive.save(made("a", 0), CONDITIONAL, signal)).kind, "unchanged");
      const again = archiveOn(store, { seal });
      await again.recall(signal);
      assert.equal((await again.save(made("a", 0), CONDITIONAL, signal)).kind, "unchanged");
      assert.equal((await again.history.list(signal)).length, index + 1);
    }
    const reader = sealWith({ identities: [two.identity], verifyKeys: [fresh.verify] });
    const { config } = await archiveOn(store, { seal: reader }).latest(signal);
    assert.deepEqual(Buffer.from(config), made("a", 0).config);
  });

  it("leaves what older keys made readable for whoever has both", async () => {
    const store = new MemoryStore();
    const [before, after] = [await roles(), await roles()];
    await archiveOn(store, { seal: before.exporter }).save(made("a", 0), CONDITIONAL, signal);
    const exporter = sealWith({
      signingKey: after.signing,
      verifyKeys: [before.verify],
      recipients: [after.age.recipient],
    });
    await archiveOn(store, { seal: exporter }).save(made("b", 1), CONDITIONAL, signal);
    const both = sealWith({
      verifyKeys: [before.verify, after.verify],
      identities: [before.age.identity, after.age.identity],
    });
    const own = archiveOn(store, { seal: both });
    const kept = await own.history.list(signal);
    const names = await Promise.all(
      kept.map(async ({ id }) => Buffer.from((await own.history.read(id, signal)).config)),
    );
    assert.deepEqual(names, [made("b", 1).config, made("a", 0).config]);
    assert.deepEqual(Buffer.from((await own.latest(signal)).config), made("b", 1).config);
  });
});
