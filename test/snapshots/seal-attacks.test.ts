/** What a hand with access to the bucket but no keys, or a change of programs, cannot bring about. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { Archive } from "../../src/snapshots/archive.ts";
import { PLAIN_SEAL } from "../../src/snapshots/seal/seal.ts";
import type { Key } from "../../src/store/port.ts";
import { kongVersion } from "../fakes/config.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { roles, sealWith } from "../fakes/seals.ts";
import { archiveOn, CONDITIONAL, ETAG, KEY, made, objectIn, signal } from "./stage.ts";

const keyOf = (id: string): Key => `3.9.1/history/${id}.json.gz`;

describe("an object of the history that will not do", () => {
  it("takes none with it that has the same body, and so on S3 the same version", async () => {
    const store = new MemoryStore();
    const { exporter, reader } = await roles();
    const archive = archiveOn(store, { seal: exporter });
    await archive.save(made("a", 0), CONDITIONAL, signal);
    const [good] = await archive.history.list(signal);
    assert.ok(good);
    store.objects.delete(KEY);
    const object = { ...objectIn(store, keyOf(good.id)), version: ETAG };
    const copy = keyOf(`20261231T000000.000Z-${good.hash}`);
    store.objects.set(object.key, object);
    store.objects.set(copy, { ...object, key: copy, metadata: {} });
    const own = archiveOn(store, { seal: reader });
    for (let look = 0; look < 2; look += 1) {
      const { origin } = await own.latest(signal);
      assert.deepEqual(origin, { kind: "history", id: good.id });
    }
  });

  it("takes none with it where the same config was saved once rehearsed and once not", async () => {
    const store = new MemoryStore();
    const archive = archiveOn(store);
    for (const [after, name, rehearsed] of [
      [0, "a", true],
      [1, "b", false],
      [2, "a", false],
    ] as const) {
      await archive.save(made(name, after, { rehearsed }), CONDITIONAL, signal);
    }
    const [newest, , oldest] = await archive.history.list(signal);
    assert.ok(newest && oldest);
    assert.equal(newest.hash, oldest.hash);
    for (const { id } of [newest, oldest]) {
      store.objects.set(keyOf(id), { ...objectIn(store, keyOf(id)), version: ETAG });
    }
    const reader = archiveOn(store, { seal: PLAIN_SEAL, requireRehearsed: true });
    const { origin } = await reader.latest(signal);
    assert.deepEqual(origin, { kind: "history", id: oldest.id });
  });

  it("with the last name there can be keeps nobody from seeing that no more is added", async () => {
    const store = new MemoryStore();
    const { exporter } = await roles();
    const { history } = archiveOn(store, { seal: exporter });
    const last: Key = keyOf("99991231T235959.999Z-0123456789ab");
    await store.put(last, Buffer.from("x"), { metadata: {}, contentType: "" }, signal);
    await assert.rejects(history.add(made("a", 0), CONDITIONAL, signal), {
      code: "SNAPSHOT_CORRUPT",
      message: /99991231T235959\.999Z-0123456789ab\.json\.gz/,
      hint: /delete it/,
    });
    assert.deepEqual([...store.objects.keys()], [last]);
    store.objects.delete(last);
    await history.add(made("a", 0), CONDITIONAL, signal);
    assert.equal((await history.list(signal)).length, 1);
  });
});

describe("an exporter that cannot read what it writes", () => {
  it("adds a rehearsed config to the history once, however often it takes over", async () => {
    const store = new MemoryStore();
    const { exporter } = await roles();
    for (const fencingToken of [1, 2, 3]) {
      const snapshot = made("a", 0, { fencingToken, rehearsed: true });
      const outcome = await archiveOn(store, { seal: exporter }).save(
        snapshot,
        CONDITIONAL,
        signal,
      );
      assert.equal(outcome.kind, "saved");
    }
    assert.equal((await archiveOn(store, { seal: exporter }).history.list(signal)).length, 1);
  });
});

describe("the history of an exporter with new keys", () => {
  it("has the newest config under the new keys, too, so that readers of these have a good one", async () => {
    const store = new MemoryStore();
    const [before, after] = [await roles(), await roles()];
    for (const [seal, reader] of [
      [PLAIN_SEAL, PLAIN_SEAL],
      [before.exporter, before.reader],
      [after.exporter, after.reader],
    ] as const) {
      for (const fencingToken of [1, 2]) {
        await archiveOn(store, { seal }).save(made("a", 0, { fencingToken }), CONDITIONAL, signal);
      }
      const [newest] = await archiveOn(store, { seal: reader }).history.list(signal);
      assert.ok(newest);
      const kept = await archiveOn(store, { seal: reader }).history.read(newest.id, signal);
      assert.deepEqual(Buffer.from(kept.config), made("a", 0).config);
    }
    assert.equal((await archiveOn(store).history.list(signal)).length, 3);
  });

  it("has it once more, too, where the entry of its name is forged or damaged", async () => {
    for (const metadata of [{}, undefined]) {
      const store = new MemoryStore();
      const { exporter, reader } = await roles();
      const snapshot = made("a", 0);
      const first = await archiveOn(store, { seal: exporter }).history.add(
        snapshot,
        CONDITIONAL,
        signal,
      );
      const object = objectIn(store, keyOf(first));
      const spoilt = metadata === undefined ? { body: Buffer.from("x") } : { metadata };
      store.objects.set(object.key, { ...object, ...spoilt });
      const { history } = archiveOn(store, { seal: metadata === undefined ? reader : exporter });
      const second = await history.add(snapshot, CONDITIONAL, signal);
      assert.notEqual(second, first);
    }
  });
});

describe("a rightly signed object of another Kong version in the place of the current one", () => {
  it("stops no exporter by its higher token", async () => {
    const store = new MemoryStore();
    const { exporter, reader } = await roles();
    const other = made("b", 5, { kongVersion: kongVersion("3.8.0"), fencingToken: 900 });
    const elsewhere = new MemoryStore();
    const log = new RecordingLog();
    const options = { store: elsewhere, seal: exporter, maxConfigBytes: 10_000, log };
    const theirs = new Archive({ ...options, kongVersion: kongVersion("3.8.0") });
    await theirs.save(other, CONDITIONAL, signal);
    const archive = archiveOn(store, { seal: exporter });
    await archive.save(made("a", 0, { fencingToken: 3 }), CONDITIONAL, signal);
    store.objects.set(KEY, { ...objectIn(elsewhere, "3.8.0/config.json"), key: KEY });
    const outcome = await archive.save(made("c", 1, { fencingToken: 3 }), CONDITIONAL, signal);
    assert.equal(outcome.kind, "saved");
    assert.equal(await archiveOn(store, { seal: exporter }).highestToken(signal), 3);
    const { config, origin } = await archiveOn(store, { seal: reader }).latest(signal);
    assert.deepEqual([Buffer.from(config), origin.kind], [made("c", 1).config, "current"]);
  });
});

describe("a list of many recipients", () => {
  it("counts as changed though only one of those that are not named did", async () => {
    const pairs = await Promise.all(Array.from({ length: 10 }, () => roles()));
    const all = pairs.map(({ age }) => age.recipient);
    const [before, after] = [all.slice(0, 9), [...all.slice(0, 8), ...all.slice(9)]];
    const { metadata } = await sealWith({ recipients: before }).close(Buffer.from("x"), {});
    assert.equal(sealWith({ recipients: before }).isUpToDate(metadata), true);
    assert.equal(sealWith({ recipients: after }).isUpToDate(metadata), false);
  });
});
