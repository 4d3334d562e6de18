/** Conformance: what is put is what is got, whole, with its metadata. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "vitest";
import type { Metadata } from "../../../src/store/port.ts";
import type { StoreUnderTest } from "../conformance.ts";
import {
  bytes,
  failsWith,
  get,
  getIfChanged,
  headOf,
  keys,
  never,
  promised,
  put,
  sameBytes,
  secondClient,
  sha256,
  text,
} from "./client.ts";

const MIB = 1024 * 1024;

const BODIES: Readonly<Record<string, Uint8Array>> = {
  "no byte": new Uint8Array(),
  "one byte": Uint8Array.of(0),
  "5 MiB at random": randomBytes(5 * MIB),
  "bytes that are not UTF-8": Uint8Array.of(0xff, 0xfe, 0x00, 0xc3, 0x28, 0x0d, 0x0a, 0x80),
  "a view into a larger buffer": randomBytes(4096).subarray(1000, 2000),
};

const METADATA: Readonly<Record<string, Metadata>> = {
  none: {},
  "with the punctuation of JSON, base64 and URLs": {
    hashes: '{"config":"a/b+c==","routes": "x;y, z"}',
    "tricky-1": "=?utf-8?Q?no=20encoded=20word?= %41 \\ ' ` ~ <&>",
  },
  "with blanks inside a value": { note: "one two  three" },
  "of about 1.5 kB": Object.fromEntries(
    Array.from({ length: 10 }, (_, i) => [`part-${i}`, `${i}`.repeat(140)]),
  ),
};

export function describeObjects(under: StoreUnderTest): void {
  describe("objects", () => {
    for (const [what, body] of Object.entries(BODIES)) {
      it(`gives back ${what} as it was put`, async () => {
        await using store = await under.open();
        const info = await put(store, "3.9.1/config.json", body, { kind: "x" });
        assert.equal(info.key, "3.9.1/config.json");
        assert.equal(info.bytes, body.byteLength);
        const object = await get(store, "3.9.1/config.json");
        sameBytes(object.body, body);
        assert.equal(object.key, "3.9.1/config.json");
        assert.equal(object.bytes, body.byteLength);
        assert.equal(object.version, info.version);
        assert.deepEqual({ ...object.metadata }, { kind: "x" });
      });
    }

    for (const [what, metadata] of Object.entries(METADATA)) {
      it(`gives back metadata ${what}`, async () => {
        await using store = await under.open();
        await put(store, "a", "{}", metadata);
        assert.deepEqual({ ...(await get(store, "a")).metadata }, metadata);
      });
    }

    it("is readable through another client as soon as the put resolves", async () => {
      await using store = await under.open();
      await put(store, "a", "first", { n: "1" });
      await using other = await secondClient(under, store);
      assert.equal(await text(other, "a"), "first");
      await put(store, "a", "second", { n: "2" });
      const object = await get(other, "a");
      assert.equal(new TextDecoder().decode(object.body), "second");
      assert.deepEqual({ ...object.metadata }, { n: "2" });
    });

    it("replaces body, metadata and version in an unconditional overwrite", async () => {
      await using store = await under.open();
      const old = await put(store, "a", "a longer first body", { old: "1", both: "1" });
      const info = await put(store, "a", "second", { both: "2" });
      assert.notEqual(info.version, old.version);
      const object = await get(store, "a");
      sameBytes(object.body, bytes("second"));
      assert.deepEqual({ ...object.metadata }, { both: "2" });
      assert.equal(object.version, info.version);
    });

    it("keeps no hold on the buffers of its caller", async () => {
      await using store = await under.open();
      const body = bytes("mine");
      await put(store, "a", body);
      body.fill(0);
      (await get(store, "a")).body.fill(0);
      assert.equal(await text(store, "a"), "mine");
    });

    promised(
      under,
      "atomicReplace",
      "never shows a reader half an object, or one's body with another's metadata, while it is overwritten",
      async () => {
        await using store = await under.open();
        await using other = await secondClient(under, store);
        const bodies = [randomBytes(300_000), randomBytes(70_000), randomBytes(300_000)];
        const write = (round: number) => {
          const body = bodies[round % bodies.length] ?? new Uint8Array();
          return put(store, "a", body, { sha256: sha256(body), round: String(round) });
        };
        await write(0);
        let writing = true;
        const reader = async (): Promise<number> => {
          let reads = 0;
          for (let newest = 0; writing; reads += 1) {
            const { body, metadata } = await get(other, "a");
            assert.equal(metadata["sha256"], sha256(body), "metadata of another body");
            const round = Number(metadata["round"]);
            assert.ok(round >= newest, `read round ${round} after round ${newest}`);
            newest = round;
          }
          return reads;
        };
        const writer = async (): Promise<void> => {
          for (let round = 1; round <= 50; round += 1) await write(round);
        };
        const [, ...reads] = await Promise.all([
          writer().finally(() => {
            writing = false;
          }),
          reader(),
          reader(),
        ]);
        assert.ok(Math.min(...reads) > 0, "the readers read nothing");
        assert.equal((await get(other, "a")).metadata["round"], "50");
      },
    );

    it("refuses a body longer than maxBytes, and takes one of just that length", async () => {
      await using store = await under.open();
      await put(store, "a", randomBytes(1001));
      await failsWith("STORE_TOO_LARGE", store.get("a", { maxBytes: 1000 }, never));
      assert.equal((await store.get("a", { maxBytes: 1001 }, never)).bytes, 1001);
    });

    it("reports progress that only grows and ends at the length of the body", async () => {
      await using store = await under.open();
      await put(store, "a", randomBytes(2 * MIB));
      const received: number[] = [];
      const totals = new Set<number | undefined>();
      const onProgress = (soFar: number, total: number | undefined) => {
        received.push(soFar);
        totals.add(total);
      };
      await store.get("a", { maxBytes: 4 * MIB, onProgress }, never);
      assert.equal(received.at(-1), 2 * MIB);
      assert.deepEqual(
        received,
        received.toSorted((a, b) => a - b),
      );
      totals.delete(undefined);
      assert.ok(
        [...totals].every((total) => total === 2 * MIB),
        `totals: ${[...totals]}`,
      );
    });

    it("deletes, and deletes what is not there, without complaint", async () => {
      await using store = await under.open();
      await put(store, "a/b", "{}", { n: "1" });
      await put(store, "a/c", "{}");
      await store.delete("a/b", never);
      await failsWith("STORE_NOT_FOUND", get(store, "a/b"));
      await store.delete("a/b", never);
      await store.delete("never/was", never);
      assert.deepEqual(await keys(store, ""), ["a/c"]);
    });

    it("starts afresh after a delete: nothing of the old metadata comes back", async () => {
      await using store = await under.open();
      await put(store, "a", "{}", { n: "1" });
      await store.delete("a", never);
      await put(store, "a", "{}");
      assert.deepEqual({ ...(await get(store, "a")).metadata }, {});
    });
  });

  describe("head", () => {
    it("tells length, version and metadata as a get and a put do, however long the body", async () => {
      await using store = await under.open();
      const metadata = { n: "1", hashes: '{"config":"a/b+c=="}' };
      const info = await put(store, "dir/a", randomBytes(5 * MIB), metadata);
      const expected = { ...info, metadata };
      assert.deepEqual(headOf(await store.head("dir/a", never)), expected);
      await using other = await secondClient(under, store);
      assert.deepEqual(headOf(await other.head("dir/a", never)), expected);
      assert.deepEqual(headOf(await get(store, "dir/a")), expected);
    });

    it("tells of an object without body or metadata", async () => {
      await using store = await under.open();
      const info = await put(store, "a", "");
      assert.deepEqual(headOf(await store.head("a", never)), { ...info, metadata: {} });
    });

    it("tells of what was put last", async () => {
      await using store = await under.open();
      await put(store, "a", "first", { n: "1" });
      const info = await put(store, "a", "the second", { n: "2" });
      assert.deepEqual(headOf(await store.head("a", never)), { ...info, metadata: { n: "2" } });
    });

    it("gives a version that a conditional put and a conditional get take", async () => {
      await using store = await under.open();
      await put(store, "a", "old");
      const { version } = await store.head("a", never);
      assert.equal(await getIfChanged(store, "a", version), undefined);
      if (under.without?.ifVersion !== undefined) return;
      await put(store, "a", "new", {}, { ifVersion: version });
      await failsWith(
        "STORE_PRECONDITION_FAILED",
        put(store, "a", "no", {}, { ifVersion: version }),
      );
    });

    it("says NOT_FOUND for what never was, or was deleted, and refuses a bad key", async () => {
      await using store = await under.open();
      const error = await failsWith("STORE_NOT_FOUND", store.head("b/c", never));
      assert.ok(error.message.includes("b/c"), error.message);
      await put(store, "a", "{}", { n: "1" });
      await store.delete("a", never);
      await failsWith("STORE_NOT_FOUND", store.head("a", never));
      await failsWith("STORE_BAD_KEY", store.head("a/../a", never));
    });
  });
}
