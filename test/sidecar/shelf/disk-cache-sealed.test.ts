import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { DiskCache } from "../../../src/sidecar/shelf/disk-cache.ts";
import { packSnapshot } from "../../../src/sidecar/shelf/shelf.ts";
import { PLAIN_SEAL, type Seal } from "../../../src/snapshots/seal/seal.ts";
import { snapshotOf, V391 } from "../../fakes/config.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { MemoryStore } from "../../fakes/memory-store.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";
import { agePair, sealWith, signingPair } from "../../fakes/seals.ts";

const { signal } = new AbortController();
const CANARY = "canary";
const SNAPSHOT = snapshotOf(CANARY);

function cacheIn(store: MemoryStore, seal: Seal, trusted: readonly string[] = []): DiskCache {
  const common = { clock: new ManualClock(), random: () => 0.5, log: new RecordingLog() };
  return new DiskCache({
    ...{ match: "patch", ...common, store, seal, trusted, maxConfigBytes: 10_000 },
  });
}

/** Writes all that is to be written. */
async function flush(disk: DiskCache): Promise<void> {
  assert.equal(await disk.run(AbortSignal.abort(), signal), true);
}

function isInClear(store: MemoryStore): boolean {
  assert.equal(store.objects.size, 1);
  return [...store.objects.values()].some(({ body, metadata }) =>
    `${Buffer.from(body).toString("latin1")}${JSON.stringify(metadata)}`.includes(CANARY),
  );
}

describe("the copy on the local disk, where there are keys", () => {
  it("is encrypted for the identities of the sidecar itself, and asks for no signature", async () => {
    const store = new MemoryStore();
    const { identity } = await agePair();
    const reader = sealWith({ identities: [identity], verifyKeys: [signingPair().verify] });
    const disk = cacheIn(store, await reader.forOwnUse());
    disk.keep(await packSnapshot(SNAPSHOT, "memory"));
    await flush(disk);
    assert.equal(isInClear(store), false);
    const read = await cacheIn(store, await reader.forOwnUse()).read(V391, signal);
    assert.deepEqual(Buffer.from(read?.config ?? []), SNAPSHOT.config);
    assert.deepEqual(read?.metadata, SNAPSHOT.metadata);
    const stranger = sealWith({ identities: [(await agePair()).identity] });
    await assert.rejects(cacheIn(store, await stranger.forOwnUse()).read(V391, signal), {
      code: "SNAPSHOT_SEALED",
    });
  });

  it("is encrypted for the recipients, where it has no identity", async () => {
    const store = new MemoryStore();
    const { identity, recipient } = await agePair();
    const writer = sealWith({ recipients: [recipient], signingKey: signingPair().signing });
    const disk = cacheIn(store, await writer.forOwnUse());
    disk.keep(await packSnapshot(SNAPSHOT, "store"));
    await flush(disk);
    assert.equal(isInClear(store), false);
    const read = await cacheIn(store, sealWith({ identities: [identity] })).read(V391, signal);
    assert.deepEqual(Buffer.from(read?.config ?? []), SNAPSHOT.config);
  });

  it("is written anew where it lay there in the clear, and only then", async () => {
    const store = new MemoryStore();
    const before = cacheIn(store, PLAIN_SEAL);
    before.keep(await packSnapshot(SNAPSHOT, "memory"));
    await flush(before);
    assert.equal(isInClear(store), true);
    const seal = await sealWith({ identities: [(await agePair()).identity] }).forOwnUse();
    let writes = 0;
    store.intercept = async (operation) => {
      if (operation === "put") writes += 1;
    };
    for (const expectedWrites of [1, 1]) {
      const disk = cacheIn(store, seal);
      const read = await disk.read(V391, signal);
      assert.ok(read);
      disk.keep(await packSnapshot(read, "disk"));
      await flush(disk);
      assert.equal(isInClear(store), false);
      assert.equal(writes, expectedWrites);
    }
  });

  it("is refused if a bit of it has flipped", async () => {
    const store = new MemoryStore();
    const seal = await sealWith({ identities: [(await agePair()).identity] }).forOwnUse();
    const disk = cacheIn(store, seal);
    disk.keep(await packSnapshot(SNAPSHOT, "memory"));
    await flush(disk);
    const [object] = [...store.objects.values()];
    assert.ok(object);
    const body = Buffer.from(object.body);
    body[body.length - 1] = (body[body.length - 1] ?? 0) ^ 1;
    store.objects.set(object.key, { ...object, body });
    await assert.rejects(disk.read(V391, signal), { code: "SNAPSHOT_CORRUPT" });
  });

  it("is not used once the keys that vouched for it are not trusted any more, or if none did", async () => {
    const [old, fresh] = ["0000000000000000", "1111111111111111"];
    for (const [before, after, isUsed] of [
      [[], [], true],
      [[old], [], true],
      [[old], [old, fresh], true],
      [[old], [fresh], false],
      [[old, fresh], [fresh], false],
      [[], [fresh], false],
    ] as const) {
      const store = new MemoryStore();
      const disk = cacheIn(store, PLAIN_SEAL, before);
      disk.keep(await packSnapshot(SNAPSHOT, "store"));
      await flush(disk);
      const reading = cacheIn(store, PLAIN_SEAL, after).read(V391, signal);
      if (isUsed) assert.deepEqual((await reading)?.metadata, SNAPSHOT.metadata);
      else await assert.rejects(reading, { code: "SNAPSHOT_UNSIGNED" });
    }
  });

  it("is used whatever keys are trusted where it came from the control plane itself", async () => {
    const store = new MemoryStore();
    const disk = cacheIn(store, PLAIN_SEAL);
    disk.keep(await packSnapshot(SNAPSHOT, "memory"));
    await flush(disk);
    const read = await cacheIn(store, PLAIN_SEAL, ["1111111111111111"]).read(V391, signal);
    assert.deepEqual(read?.metadata, SNAPSHOT.metadata);
  });
});
