/** Conformance: a listing is complete, recursive and sorted, and shows objects only. */

import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import { describe, it } from "vitest";
import type { StoreUnderTest } from "../conformance.ts";
import { get, keys, list, never, put } from "./client.ts";

export function describeListing(under: StoreUnderTest): void {
  describe("listing", () => {
    it("yields nothing for an empty store, nor for a prefix without objects", async () => {
      await using store = await under.open();
      assert.deepEqual(await keys(store, ""), []);
      await put(store, "a/b", "{}");
      assert.deepEqual(await keys(store, "a/b"), []);
      assert.deepEqual(await keys(store, "a/c"), []);
      assert.deepEqual(await keys(store, "b"), []);
    });

    it("takes a prefix for whole segments: foo is not foobar/", async () => {
      await using store = await under.open();
      for (const key of [
        "foo",
        "foobar/b",
        "foo-bar/c",
        "foo.json",
        "3.9/x",
        "3.9.1/x",
        "3.90/x",
      ]) {
        await put(store, key, "{}");
      }
      assert.deepEqual(await keys(store, "foo"), []);
      assert.deepEqual(await keys(store, "foobar"), ["foobar/b"]);
      assert.deepEqual(await keys(store, "3.9"), ["3.9/x"]);
    });

    it("goes down all levels and sorts by the bytes of UTF-8", async () => {
      await using store = await under.open();
      // In this order: a walk by folder would put a/b first, UTF-16 would put 😀 before \uff5e.
      const sorted = [
        "B/1",
        "a b",
        "a+",
        "a-b",
        "a.b",
        "a/b/c/d",
        "a/b0",
        "a0",
        "b/10",
        "b/9",
        "é",
        "\uff5e",
        "😀",
      ];
      for (const key of sorted.toReversed()) await put(store, key, "{}");
      assert.deepEqual(await keys(store, ""), sorted);
    });

    it("goes over as many pages as there are", async () => {
      await using store = await under.open({ pageSize: 2 });
      const sorted = Array.from({ length: 9 }, (_, place) => `dir/${place}/x`);
      for (const key of sorted) await put(store, key, "{}");
      await put(store, "other", "{}");
      assert.deepEqual(await keys(store, "dir"), sorted);
      assert.deepEqual(await keys(store, ""), [...sorted, "other"]);
    });

    it("shows for each object the length and the version that get shows", async () => {
      await using store = await under.open();
      await put(store, "a", "four", { n: "1" });
      await put(store, "b/c", "");
      for (const info of await list(store, "")) {
        const { key, version, bytes } = await get(store, info.key);
        const { putAt, ...rest } = info;
        assert.deepEqual(rest, { key, version, bytes });
      }
      assert.deepEqual(
        (await list(store, "")).map((info) => info.bytes),
        [4, 0],
      );
    });

    it("shows for each object when it was put last, by the store's clock", async () => {
      await using store = await under.open();
      await put(store, "again", "1");
      await put(store, "first", "1");
      // S3 and others tell whole seconds.
      await setTimeout(1_100);
      await put(store, "again", "2");
      const [again, first] = await list(store, "");
      assert.ok(again?.putAt && first?.putAt);
      assert.ok(again.putAt > first.putAt, `${again.putAt} after ${first.putAt}`);
      // The servers under test run on this machine.
      assert.ok(Math.abs(again.putAt.getTime() - Date.now()) < 60_000, `${again.putAt}`);
    });

    it("shows no file of the store's own, whatever was written, overwritten, refused or deleted", async () => {
      await using store = await under.open();
      const { version } = await put(store, "a/b", "1", { n: "1" });
      await put(store, "a/b", "2", { n: "2" });
      await put(store, "c", "1", { n: "1" });
      await put(store, "d", "1", { n: "1" });
      await store.delete("d", never);
      await put(store, "a/b", "3", {}, { ifVersion: version }).catch(() => "refused, as it should");
      assert.deepEqual(await keys(store, ""), ["a/b", "c"]);
    });

    it("can be left before its end", async () => {
      await using store = await under.open({ pageSize: 2 });
      for (const key of ["a", "b", "c", "d"]) await put(store, key, "{}");
      for await (const info of store.list("", never)) {
        assert.equal(info.key, "a");
        break;
      }
      assert.deepEqual(await keys(store, ""), ["a", "b", "c", "d"]);
    });
  });
}
