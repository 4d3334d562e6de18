/** A write that was decided long ago arrives late: on no store does the backup go backwards, though configs come back. */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import type { NewSnapshot } from "../../src/snapshots/snapshot.ts";
import { FileStore } from "../../src/store/file.ts";
import { type Store, StoreError } from "../../src/store/port.ts";
import { snapshotOf } from "../fakes/config.ts";
import { FakeGcsServer } from "../fakes/gcs-server.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { FakeS3 } from "../fakes/s3-server.ts";
import { openGcs } from "../store/gcs-support.ts";
import { openS3 } from "../store/s3-support.ts";
import { archiveOn, CONDITIONAL, signal } from "./stage.ts";

/** A store of which the next put can be kept on its way. */
class SlowStore {
  readonly #store: Store;
  #take: ((arrive: () => Promise<void>) => Promise<void>) | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  /** The next put waits; resolves, when it does, to what lets it go on. */
  pauseNextPut(): Promise<() => void> {
    return new Promise((paused) => {
      this.#take = (arrive) => new Promise<void>((go) => paused(go)).then(arrive);
    });
  }

  /** The next put seems to fail; resolves to what makes it arrive after all. */
  delayNextPut(): Promise<() => Promise<void>> {
    return new Promise((delayed) => {
      this.#take = async (arrive) => {
        delayed(arrive);
        throw new StoreError("STORE_UNAVAILABLE", "no answer");
      };
    });
  }

  get client(): Store {
    const store = this.#store;
    return {
      url: store.url,
      get: (...args) => store.get(...args),
      head: (...args) => store.head(...args),
      getIfChanged: (...args) => store.getIfChanged(...args),
      list: (...args) => store.list(...args),
      delete: (...args) => store.delete(...args),
      put: async (...args) => {
        const take = this.#take;
        this.#take = undefined;
        if (take === undefined) return store.put(...args);
        let info: Awaited<ReturnType<Store["put"]>> | undefined;
        await take(async () => {
          info = await store.put(...args);
        });
        assert.ok(info);
        return info;
      },
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    };
  }
}

/** `made`: when the control plane made it, seconds. */
function config(name: string, fencingToken: number, made: number): NewSnapshot {
  const exporterId = `exporter-${fencingToken}`;
  const controlPlaneTimestamp = 1_795_220_000 + made;
  return snapshotOf(name, { fencingToken, exporterId, controlPlaneTimestamp });
}

function fences(kind: string, open: () => Promise<Store>): void {
  const setUp = async () => {
    const store = await open();
    const slow = new SlowStore(store);
    const first = archiveOn(slow.client);
    await first.save(config("before", 1, 0), CONDITIONAL, signal);
    await first.save(config("x", 1, 1), CONDITIONAL, signal);
    const current = async () => {
      const { config: bytes, metadata } = await archiveOn(store).latest(signal);
      return { name: /"name":"(\w+)"/.exec(Buffer.from(bytes).toString())?.[1], metadata };
    };
    return { store, slow, first, current };
  };

  describe(`a ${kind} store`, () => {
    it("refuses a leader that stood still, though its successor found nothing to change", async () => {
      const { store, slow, first, current } = await setUp();
      const paused = slow.pauseNextPut();
      const late = first.save(config("w", 1, 2), CONDITIONAL, signal);
      const go = await paused;
      const outcome = await archiveOn(store).save(config("x", 2, 3), CONDITIONAL, signal);
      assert.equal(outcome.kind, "saved");
      go();
      const refused = await late;
      assert.ok(refused.kind === "stale");
      assert.equal(refused.storedToken, 2);
      assert.equal((await current()).name, "x");
    });

    it("refuses it though the very config that it was to replace has come back since", async () => {
      const { store, slow, first, current } = await setUp();
      const paused = slow.pauseNextPut();
      const late = first.save(config("w", 1, 2), CONDITIONAL, signal);
      const go = await paused;
      const second = archiveOn(store);
      await second.save(config("y", 2, 3), CONDITIONAL, signal);
      await second.save(config("x", 2, 4), CONDITIONAL, signal);
      go();
      assert.equal((await late).kind, "stale");
      const { name, metadata } = await current();
      assert.equal(name, "x");
      assert.equal(metadata?.fencingToken, 2);
    });

    it("refuses a write that seemed to fail, when the config has changed back before it arrives", async () => {
      const { slow, first, current } = await setUp();
      const delayed = slow.delayNextPut();
      const failing = first.save(config("w", 1, 2), CONDITIONAL, signal);
      const arrive = await delayed;
      await assert.rejects(failing, { code: "STORE_UNAVAILABLE" });
      // With the very metadata that lie there, so that nothing but the write is new.
      const again = config("x", 1, 1);
      assert.equal(first.holds(again.metadata.configHash, 1), false);
      assert.equal((await first.save(again, CONDITIONAL, signal)).kind, "saved");
      await assert.rejects(arrive(), { code: "STORE_PRECONDITION_FAILED" });
      assert.equal((await current()).name, "x");
      assert.equal((await first.save(config("x", 1, 4), CONDITIONAL, signal)).kind, "unchanged");
    });
  });
}

let gcs: FakeGcsServer;
let s3: FakeS3;
let root: string;
let count = 0;

beforeAll(async () => {
  gcs = await FakeGcsServer.start("backups");
  s3 = await FakeS3.start();
  root = await mkdtemp(join(tmpdir(), "fencing-"));
});
afterAll(async () => {
  await gcs[Symbol.asyncDispose]();
  await s3[Symbol.asyncDispose]();
  await rm(root, { recursive: true, force: true });
});

function place(): string {
  count += 1;
  return `place-${count}`;
}

fences("memory", async () => new MemoryStore());
fences("file", async () => {
  const directory = join(root, place());
  return new FileStore({ url: `file://${directory}`, directory, clock: systemClock });
});
fences("GCS", async () => {
  return openGcs(gcs.endpoint, { prefix: place() });
});
// Its ETags are the ETAG of the body, and nothing else.
fences("S3", () =>
  openS3({ endpoint: s3.endpoint, accessKeyId: "fake-key-id" }, { prefix: place() }),
);
