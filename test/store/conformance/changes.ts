/** Conformance: an object is read again only where it is another one than the reader has. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "vitest";
import type { Version } from "../../../src/store/port.ts";
import type { StoreUnderTest } from "../conformance.ts";
import {
  bytes,
  failsWith,
  get,
  getIfChanged,
  list,
  MAX_BYTES,
  never,
  promised,
  put,
  rejectsWith,
  sameBytes,
  secondClient,
  sha256,
} from "./client.ts";

const MIB = 1024 * 1024;

export function describeChanges(under: StoreUnderTest): void {
  describe("conditional get", () => {
    it("gives undefined for the version that a put returned, a get shows and a list shows", async () => {
      await using store = await under.open();
      const info = await put(store, "dir/a", "{}", { n: "1" });
      const [listed] = await list(store, "dir");
      assert.ok(listed);
      await using other = await secondClient(under, store);
      for (const { version } of [info, await get(store, "dir/a"), listed]) {
        assert.equal(await getIfChanged(other, "dir/a", version), undefined);
      }
    });

    it("gives the whole new object after a put, and undefined for its version", async () => {
      await using store = await under.open();
      await using other = await secondClient(under, store);
      const { version } = await put(store, "a", "first", { n: "1" });
      const info = await put(other, "a", "the second", { n: "2" });
      const object = await getIfChanged(store, "a", version);
      assert.ok(object);
      sameBytes(object.body, bytes("the second"));
      assert.equal(object.key, "a");
      assert.equal(object.bytes, 10);
      assert.equal(object.version, info.version);
      assert.deepEqual({ ...object.metadata }, { n: "2" });
      assert.equal(await getIfChanged(store, "a", object.version), undefined);
    });

    promised(
      under,
      "metadataInVersion",
      "gives the new object where only the metadata are others",
      async () => {
        await using store = await under.open();
        const { version } = await put(store, "a", "same", { n: "1" });
        await put(store, "a", "same", { n: "2" });
        const object = await getIfChanged(store, "a", version);
        assert.deepEqual({ ...object?.metadata }, { n: "2" });
      },
    );

    it("gives undefined for an unchanged body of 5 MiB, however few bytes are allowed, and reports no progress", async () => {
      await using store = await under.open();
      const { version } = await put(store, "a", randomBytes(5 * MIB));
      let progress = 0;
      const onProgress = () => {
        progress += 1;
      };
      const options = { maxBytes: 10, onProgress };
      assert.equal(await store.getIfChanged("a", version, options, never), undefined);
      assert.equal(progress, 0);
      // The connection of a body that was not wanted must not spoil the next call.
      assert.equal((await get(store, "a")).bytes, 5 * MIB);
    });

    it("refuses a changed body longer than maxBytes, and takes one of just that length", async () => {
      await using store = await under.open();
      const { version } = await put(store, "a", "short");
      await put(store, "a", randomBytes(1001));
      const read = (maxBytes: number) => store.getIfChanged("a", version, { maxBytes }, never);
      await failsWith("STORE_TOO_LARGE", read(1000));
      assert.equal((await read(1001))?.bytes, 1001);
    });

    it("says NOT_FOUND for a key that never was, or was deleted since", async () => {
      await using store = await under.open();
      const { version } = await put(store, "a", "{}");
      const error = await failsWith("STORE_NOT_FOUND", getIfChanged(store, "b/c", version));
      assert.ok(error.message.includes("b/c"), error.message);
      await store.delete("a", never);
      await failsWith("STORE_NOT_FOUND", getIfChanged(store, "a", version));
    });

    it("gives the object that was deleted and written again", async () => {
      await using store = await under.open();
      const { version } = await put(store, "a", "old");
      await store.delete("a", never);
      await put(store, "a", "new");
      sameBytes((await getIfChanged(store, "a", version))?.body ?? bytes(""), bytes("new"));
    });

    it("takes the version of another key, or of another store, for one that has changed", async () => {
      await using store = await under.open();
      const { version } = await put(store, "a", "of a");
      await put(store, "b", "of b");
      const others = [version, sha256(bytes("x")), "1700000000000001", "d41d8cd9-2", "1a b/c=="];
      for (const other of others) {
        const object = await getIfChanged(store, "b", other as Version);
        sameBytes(object?.body ?? bytes(""), bytes("of b"));
      }
    });

    it("refuses a bad key", async () => {
      await using store = await under.open();
      const { version } = await put(store, "a", "{}");
      await failsWith("STORE_BAD_KEY", getIfChanged(store, "a/../a", version));
    });

    promised(
      under,
      "atomicReplace",
      "never shows half an object, nor an older one, to a reader who follows a writer",
      async () => {
        await using store = await under.open();
        await using other = await secondClient(under, store);
        const write = (round: number) => {
          const body = randomBytes(round % 2 ? 300_000 : 70_000);
          return put(store, "a", body, { sha256: sha256(body), round: String(round) });
        };
        const first = await write(0);
        const reader = async (): Promise<void> => {
          let { version } = first;
          for (let newest = 0; newest < 30; ) {
            const object = await getIfChanged(other, "a", version);
            if (object === undefined) continue;
            assert.notEqual(object.version, version);
            assert.equal(object.metadata["sha256"], sha256(object.body), "of another body");
            const round = Number(object.metadata["round"]);
            assert.ok(round > newest, `read round ${round} after round ${newest}`);
            newest = round;
            version = object.version;
          }
        };
        const writer = async (): Promise<void> => {
          for (let round = 1; round <= 30; round += 1) await write(round);
        };
        await Promise.all([reader(), writer()]);
      },
    );

    it("rejects with the signal's reason when aborted before, and while bytes arrive", async () => {
      await using store = await under.open();
      const { version } = await put(store, "a", "old");
      await put(store, "a", randomBytes(5 * MIB));
      const read = (signal: AbortSignal, onProgress = () => {}) =>
        store.getIfChanged("a", version, { maxBytes: MAX_BYTES, onProgress }, signal);
      const before = new Error("stopped before");
      await rejectsWith(before, read(AbortSignal.abort(before)));
      const during = new Error("stopped during get");
      const controller = new AbortController();
      await rejectsWith(
        during,
        read(controller.signal, () => controller.abort(during)),
      );
      assert.equal((await read(never))?.bytes, 5 * MIB);
    });

    it("is refused after dispose", async () => {
      const store = await under.open();
      const { version } = await put(store, "a", "{}");
      await store[Symbol.asyncDispose]();
      await failsWith("STORE_CLOSED", getIfChanged(store, "a", version));
    });
  });
}
