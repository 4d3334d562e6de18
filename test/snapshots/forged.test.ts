import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { describe, it } from "vitest";
import type { Seal } from "../../src/snapshots/seal/seal.ts";
import type { Metadata } from "../../src/store/port.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { roles, sealWith, signingPair } from "../fakes/seals.ts";
import {
  archiveOn,
  type Change,
  CONDITIONAL,
  INSTEAD,
  KEY,
  made,
  signal,
  spoil as spoilIn,
} from "./stage.ts";

/** A store with a, then b, and what its readers and its exporter hold. */
async function setUp() {
  const store = new MemoryStore();
  const keys = await roles();
  const archive = archiveOn(store, { seal: keys.exporter });
  await archive.save(made("a", 0, { fencingToken: 1 }), CONDITIONAL, signal);
  await archive.save(made("b", 1, { fencingToken: 2 }), CONDITIONAL, signal);
  const historyKeys = [...store.objects.keys()].filter((key) => key !== KEY).sort();
  const [keyOfA = "", keyOfB = ""] = historyKeys;
  const spoil = (key: string, change: Change) => spoilIn(store, change, key);
  const metadataOf = (key: string): Metadata => store.objects.get(key)?.metadata ?? {};
  const bodyOf = (key: string) => Buffer.from(store.objects.get(key)?.body ?? []);
  return { store, ...keys, keyOfA, keyOfB, spoil, metadataOf, bodyOf };
}

type Stage = Awaited<ReturnType<typeof setUp>>;

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const last = copy.length - 1;
  copy[last] = (copy[last] ?? 0) ^ 1;
  return copy;
}

function without(metadata: Metadata, name: string): Metadata {
  return Object.fromEntries(Object.entries(metadata).filter(([key]) => key !== name));
}

/** What a bucket writer without our keys may do to one object, and by which code readers refuse it. */
const FORGERIES: readonly [string, string, (stage: Stage, key: string) => void][] = [
  [
    "its body changed",
    "SNAPSHOT_CORRUPT",
    ({ spoil, bodyOf }, key) => spoil(key, { body: flipped(bodyOf(key)) }),
  ],
  [
    "a body of its own in the clear",
    "SNAPSHOT_CORRUPT",
    ({ spoil }, key) => {
      const { config } = made("evil", 5);
      spoil(key, { body: key === KEY ? config : gzipSync(config) });
    },
  ],
  ["a body sealed for the readers by anybody", "SNAPSHOT_CORRUPT", () => {}],
  [
    "the signature stripped",
    "SNAPSHOT_UNSIGNED",
    ({ spoil, metadataOf }, key) => spoil(key, { metadata: without(metadataOf(key), "signature") }),
  ],
  ["all metadata stripped", "SNAPSHOT_UNSIGNED", ({ spoil }, key) => spoil(key, { metadata: {} })],
  [
    "its token raised",
    "SNAPSHOT_UNSIGNED",
    ({ spoil, metadataOf }, key) =>
      spoil(key, { metadata: { ...metadataOf(key), "fencing-token": "999" } }),
  ],
  [
    "its reason for being held taken away or made up",
    "SNAPSHOT_UNSIGNED",
    ({ spoil, metadataOf }, key) =>
      spoil(key, { metadata: { ...metadataOf(key), held: "not it" } }),
  ],
  [
    "the signature of another snapshot",
    "SNAPSHOT_UNSIGNED",
    ({ spoil, metadataOf, keyOfA }, key) =>
      spoil(key, {
        metadata: { ...metadataOf(key), signature: metadataOf(keyOfA)["signature"] ?? "" },
      }),
  ],
];

describe("a reader that demands signatures", () => {
  for (const [what, code, forge] of FORGERIES) {
    it(`refuses a snapshot with ${what}, and takes the newest good one, loudly`, async () => {
      const stage = await setUp();
      const { store, reader, keyOfA, keyOfB, age } = stage;
      const forgeAt = async (key: string) => {
        if (!what.includes("by anybody")) return forge(stage, key);
        const anybody = sealWith({ recipients: [age.recipient] });
        const { config } = made("evil", 5);
        const { body } = await anybody.close(key === KEY ? config : gzipSync(config), {});
        stage.spoil(key, { body });
      };
      await forgeAt(KEY);
      const log = new RecordingLog();
      const archive = archiveOn(store, { seal: reader, log });
      const found = await archive.latest(signal);
      assert.deepEqual(Buffer.from(found.config), made("b", 1).config);
      assert.equal(found.origin.kind, "history");
      assert.equal(log.find(INSTEAD).length, 1);
      await forgeAt(keyOfB);
      const refreshed = await archive.refresh(undefined, signal);
      assert.deepEqual(Buffer.from(refreshed?.snapshot.config ?? []), made("a", 0).config);
      store.objects.delete(keyOfA);
      await assert.rejects(archive.latest(signal), { code, exitStatus: 3 });
      const [entry] = await archive.history.list(signal);
      await assert.rejects(archive.history.read(entry?.id ?? "", signal), { code });
    });
  }

  it("decrypts and unpacks nothing of an object whose signature is missing", async () => {
    const { store, reader, spoil } = await setUp();
    for (const key of store.objects.keys()) spoil(key, { metadata: {} });
    let openings = 0;
    const seal: Seal = {
      ...reader,
      open(body, name, maxBytes) {
        openings += 1;
        return reader.open(body, name, maxBytes);
      },
    };
    await assert.rejects(archiveOn(store, { seal }).latest(signal), { code: "SNAPSHOT_UNSIGNED" });
    assert.equal(openings, 0);
    await assert.rejects(archiveOn(store).latest(signal), { code: "SNAPSHOT_SEALED" });
  });

  it("reads, and complains of, each entry of the history that will not do once only", async () => {
    const { store, reader, spoil } = await setUp();
    for (const key of store.objects.keys()) spoil(key, { metadata: {} });
    const log = new RecordingLog();
    const archive = archiveOn(store, { seal: reader, log });
    for (let look = 0; look < 3; look += 1) {
      const code = "SNAPSHOT_UNSIGNED";
      await assert.rejects(archive.refresh(undefined, signal), { code });
      await assert.rejects(archive.sight(undefined, signal), { code });
    }
    assert.equal(log.find("snapshot of the history cannot be used").length, 4);
  });

  it("takes the newest that its identities open where the current one is sealed for others", async () => {
    const { store, signing, reader } = await setUp();
    const other = await roles();
    const writer = sealWith({ signingKey: signing, recipients: [other.age.recipient] });
    await archiveOn(store, { seal: writer }).save(
      made("c", 2, { fencingToken: 2 }),
      CONDITIONAL,
      signal,
    );
    const { config } = await archiveOn(store, { seal: reader }).latest(signal);
    assert.deepEqual(Buffer.from(config), made("b", 1).config);
    const stranger = sealWith({ identities: [(await roles()).age.identity] });
    await assert.rejects(archiveOn(store, { seal: stranger }).latest(signal), {
      code: "SNAPSHOT_SEALED",
    });
  });

  it("refuses a config that was held back, rightly signed, in the place of the current one", async () => {
    const { store, exporter, reader } = await setUp();
    const { history } = archiveOn(store, { seal: exporter });
    const held = { held: "lost too much", conditional: true };
    const id = await history.add(made("held", 9), held, signal);
    const object = store.objects.get(`3.9.1/history/${id}.json.gz`);
    assert.ok(object);
    const { body } = await exporter.close(made("held", 9).config, object.metadata);
    store.objects.set(KEY, { ...object, key: KEY, body, bytes: body.length });
    const log = new RecordingLog();
    const { config } = await archiveOn(store, { seal: reader, log }).latest(signal);
    assert.deepEqual(Buffer.from(config), made("b", 1).config);
    const [line] = log.find(INSTEAD);
    assert.match(String(line?.fields["err"]), /is a config that was held back/);
  });
});

describe("an exporter that signs", () => {
  it("believes nothing of a current object that nobody it trusts has signed, and replaces it", async () => {
    const { store, exporter, reader, spoil, metadataOf } = await setUp();
    spoil(KEY, { metadata: { ...metadataOf(KEY), "fencing-token": "999" } });
    const log = new RecordingLog();
    const archive = archiveOn(store, { seal: exporter, log });
    assert.equal(await archive.highestToken(signal), 2);
    assert.equal(await archive.recall(signal), undefined);
    const [line] = log.find("error");
    assert.match(String(line?.fields["err"]), /were changed afterwards/);
    const outcome = await archive.save(made("c", 2, { fencingToken: 3 }), CONDITIONAL, signal);
    assert.equal(outcome.kind, "saved");
    const { config, origin } = await archiveOn(store, { seal: reader }).latest(signal);
    assert.deepEqual([Buffer.from(config), origin.kind], [made("c", 2).config, "current"]);
  });

  it("is not fooled by the signature of a key it does not trust, nor by one in the history", async () => {
    const { store, exporter } = await setUp();
    store.objects.clear();
    const stranger = sealWith({ signingKey: signingPair().signing });
    await archiveOn(store, { seal: stranger }).save(
      made("a", 0, { fencingToken: 999 }),
      CONDITIONAL,
      signal,
    );
    assert.equal(await archiveOn(store, { seal: exporter }).highestToken(signal), 0);
    store.objects.delete(KEY);
    assert.equal(await archiveOn(store, { seal: exporter }).highestToken(signal), 0);
    assert.equal(await archiveOn(store).highestToken(signal), 999);
  });
});
