import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "vitest";
import type { SnapshotMetadata } from "../../src/snapshots/snapshot.ts";
import { blanksOf } from "../../src/snapshots/write-id.ts";
import type { Version } from "../../src/store/port.ts";
import { snapshotOf } from "../fakes/config.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { FakeS3 } from "../fakes/s3-server.ts";
import { openS3 } from "../store/s3-support.ts";
import { archiveOn, CONDITIONAL, ETAG, KEY, made, objectIn, signal } from "./stage.ts";

function digestOf(body: Uint8Array): Buffer {
  return createHash("sha256").update(body).digest();
}

/** A store in which "a" lies under a version that looks like an ETAG, and was replaced by "b". */
async function setUp() {
  const store = new MemoryStore();
  const archive = archiveOn(store, { keepHistory: false });
  await archive.save(snapshotOf("a"), CONDITIONAL, signal);
  store.objects.set(KEY, { ...objectIn(store), version: ETAG });
  await archiveOn(store, { keepHistory: false }).save(made("b", 1), CONDITIONAL, signal);
  return { store, bytes: snapshotOf("b").config.length };
}

describe("the current object", () => {
  it("is byte for byte the config where versions tell more than the body", async () => {
    const store = new MemoryStore();
    for (const name of ["a", "b"]) {
      const archive = archiveOn(store, { makesFreshVersions: () => true });
      await archive.save(snapshotOf(name), CONDITIONAL, signal);
      assert.deepEqual(Buffer.from(objectIn(store).body), snapshotOf(name).config);
    }
  });

  for (const [digest, etagOf] of [
    ["MD5", (body: Uint8Array) => createHash("md5").update(body).digest("hex")],
    ["CRC64", (body: Uint8Array) => `CRC64NVME-${digestOf(body).toString("base64").slice(0, 12)}`],
    ["SHA-256", (body: Uint8Array) => digestOf(body).toString("hex")],
    ["base64", (body: Uint8Array) => digestOf(body).toString("base64")],
  ] as const) {
    it(`never brings a version back where that is a ${digest} of the body`, async () => {
      await using server = await FakeS3.start();
      server.etagOf = etagOf;
      await using store = await openS3({ endpoint: server.endpoint, accessKeyId: "fake-key-id" });
      const archive = archiveOn(store);
      const versions: string[] = [];
      let stale: Version | undefined;
      for (const [place, name] of ["a", "b", "a", "b", "a"].entries()) {
        // As an operator's `snapshots restore` lets a config come back.
        const later = { controlPlaneTimestamp: 1_795_220_100 + place };
        const outcome = await archive.save(snapshotOf(name, later), CONDITIONAL, signal);
        assert.equal(outcome.kind, "saved");
        const { version } = await store.head(KEY, signal);
        versions.push(version);
        stale ??= version;
      }
      assert.equal(new Set(versions).size, 5);
      assert.ok(stale !== undefined);
      const options = { metadata: {}, contentType: "application/json", when: { ifVersion: stale } };
      await assert.rejects(store.put(KEY, snapshotOf("c").config, options, signal), {
        code: "STORE_PRECONDITION_FAILED",
      });
    });
  }

  it("is the config and 64 blanks where a version may be a digest of the body", async () => {
    const { store, bytes } = await setUp();
    const { body, metadata } = objectIn(store);
    assert.deepEqual(Buffer.from(body.subarray(0, bytes)), snapshotOf("b").config);
    assert.match(Buffer.from(body.subarray(bytes)).toString(), /^[ \n]{64}$/);
    assert.equal(metadata["bytes"], String(bytes));
    assert.deepEqual(JSON.parse(Buffer.from(body).toString()).services, [{ name: "b" }]);
  });

  it("is read without the blanks, though the config alone has the longest length allowed", async () => {
    const { store, bytes } = await setUp();
    const { config, metadata } = await archiveOn(store, { maxConfigBytes: bytes }).latest(signal);
    assert.deepEqual(Buffer.from(config), snapshotOf("b").config);
    assert.deepEqual(metadata, made("b", 1).metadata);
    assert.deepEqual(await archiveOn(store, { maxConfigBytes: bytes }).recall(signal), metadata);
    await assert.rejects(archiveOn(store, { maxConfigBytes: bytes - 1 }).latest(signal), {
      code: "STORE_TOO_LARGE",
    });
  });

  it("is refused with other blanks than its own, with too few, and with more", async () => {
    const { store, bytes } = await setUp();
    const good = objectIn(store);
    const config = snapshotOf("b").config;
    const blanks = Buffer.from(good.body.subarray(bytes));
    for (const spoilt of [
      blanksOf("0123456789abcdef"),
      blanks.subarray(1),
      Buffer.concat([blanks, Buffer.from(" ")]),
    ]) {
      store.objects.set(KEY, { ...good, body: Buffer.concat([config, spoilt]) });
      await assert.rejects(archiveOn(store).latest(signal), { code: "SNAPSHOT_CORRUPT" });
    }
  });

  it("has blanks that stand for the bits of its write id", () => {
    assert.equal(Buffer.from(blanksOf("8000000000000001")).toString(), `\n${" ".repeat(62)}\n`);
    assert.notDeepEqual(blanksOf("0000000000000001"), blanksOf("0000000000000002"));
  });
});

describe("an exporter that takes over", () => {
  const of = (name: string, overrides: Partial<SnapshotMetadata>) =>
    snapshotOf(name, { controlPlaneTimestamp: 1_795_220_100, ...overrides });
  const second = { fencingToken: 2, exporterId: "exporter-2" };

  it("writes the config that is there once more under its token, and then leaves it", async () => {
    const store = new MemoryStore();
    await archiveOn(store).save(of("a", { fencingToken: 1 }), CONDITIONAL, signal);
    const archive = archiveOn(store);
    await archive.recall(signal);
    const own = of("a", { ...second, controlPlaneTimestamp: 1_795_220_200 });
    assert.equal(archive.holds(own.metadata.configHash, 2), false);
    assert.equal((await archive.save(own, CONDITIONAL, signal)).kind, "saved");
    assert.deepEqual((await archive.latest(signal)).metadata, own.metadata);
    assert.equal((await archive.save(own, CONDITIONAL, signal)).kind, "unchanged");
    assert.equal(archive.holds(own.metadata.configHash, 2), true);
    assert.equal(archive.holds(own.metadata.configHash, 3), false);
  });

  it("does so though its control plane's clock is behind, and keeps the later timestamp", async () => {
    const store = new MemoryStore();
    await archiveOn(store).save(of("a", { fencingToken: 1 }), CONDITIONAL, signal);
    const own = of("a", { ...second, controlPlaneTimestamp: 1_795_220_050 });
    assert.equal((await archiveOn(store).save(own, CONDITIONAL, signal)).kind, "saved");
    const { metadata } = await archiveOn(store).latest(signal);
    assert.deepEqual(metadata, { ...own.metadata, controlPlaneTimestamp: 1_795_220_100 });
  });

  it("does not replace another config that may be the newer one, and says what lies there", async () => {
    const store = new MemoryStore();
    const stored = of("a", { fencingToken: 1 });
    await archiveOn(store).save(stored, CONDITIONAL, signal);
    const own = of("b", { ...second, controlPlaneTimestamp: 1_795_220_200 });
    const outcome = await archiveOn(store).save(own, { conditional: true }, signal);
    assert.ok(outcome.kind === "unconfirmed");
    assert.deepEqual(outcome.stored, stored.metadata);
  });

  it("is fenced by the token of a config that is damaged, and replaces a damaged one of a lower token", async () => {
    const store = new MemoryStore();
    await archiveOn(store).save(of("a", { fencingToken: 2 }), CONDITIONAL, signal);
    store.objects.set(KEY, { ...objectIn(store), body: Buffer.from("{") });
    const lower = await archiveOn(store).save(of("b", { fencingToken: 1 }), CONDITIONAL, signal);
    assert.deepEqual(lower, {
      kind: "stale",
      storedToken: 2,
      stored: undefined,
    });
    const higher = await archiveOn(store).save(of("b", { fencingToken: 3 }), CONDITIONAL, signal);
    assert.equal(higher.kind, "saved");
  });
});
