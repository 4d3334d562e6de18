/** Conformance: abort, dispose, and what a store says of itself. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "vitest";
import type { Store } from "../../../src/store/port.ts";
import type { StoreUnderTest } from "../conformance.ts";
import { failsWith, get, list, never, put, rejectsWith, secondClient, sha256 } from "./client.ts";

const MIB = 1024 * 1024;
const MAX_BYTES = 16 * MIB;

async function listWith(store: Store, signal: AbortSignal): Promise<void> {
  for await (const _ of store.list("", signal));
}

export function describeLifecycle(under: StoreUnderTest): void {
  describe("abort", () => {
    it("rejects with the signal's reason when aborted before, and does nothing", async () => {
      await using store = await under.open();
      await put(store, "a", "old");
      const reason = new Error("stopped before");
      const signal = AbortSignal.abort(reason);
      await rejectsWith(reason, store.get("a", { maxBytes: MAX_BYTES }, signal));
      await rejectsWith(reason, store.head("a", signal));
      await rejectsWith(reason, put(store, "a", "new", {}, undefined, signal));
      await rejectsWith(reason, store.delete("a", signal));
      await rejectsWith(reason, listWith(store, signal));
      assert.equal(new TextDecoder().decode((await get(store, "a")).body), "old");
    });

    it("rejects a get with the signal's reason when aborted while bytes arrive", async () => {
      await using store = await under.open();
      await put(store, "a", randomBytes(5 * MIB));
      const reason = new Error("stopped during get");
      const controller = new AbortController();
      const onProgress = () => controller.abort(reason);
      await rejectsWith(
        reason,
        store.get("a", { maxBytes: MAX_BYTES, onProgress }, controller.signal),
      );
      assert.equal((await get(store, "a")).bytes, 5 * MIB);
    });

    it("rejects a put with the signal's reason when aborted during it, and leaves the old object or the new one", async () => {
      await using store = await under.open();
      const bodies = [randomBytes(1 * MIB), randomBytes(5 * MIB)] as const;
      const digests = bodies.map(sha256);
      await put(store, "a", bodies[0], { sha256: sha256(bodies[0]) });
      const reason = new Error("stopped during put");
      const controller = new AbortController();
      const writing = put(
        store,
        "a",
        bodies[1],
        { sha256: sha256(bodies[1]) },
        undefined,
        controller.signal,
      );
      controller.abort(reason);
      await rejectsWith(reason, writing);
      const { body, metadata } = await get(store, "a");
      assert.ok(digests.includes(sha256(body)), "neither the old body nor the new one");
      assert.equal(metadata["sha256"], sha256(body));
      await put(store, "a", "after", { n: "1" });
      assert.equal((await get(store, "a")).bytes, 5);
    });

    it("rejects a listing with the signal's reason when aborted within it", async () => {
      await using store = await under.open({ pageSize: 2 });
      for (const key of ["a", "b", "c", "d", "e"]) await put(store, key, "{}");
      const reason = new Error("stopped during list");
      const controller = new AbortController();
      const seen: string[] = [];
      const listing = async () => {
        for await (const info of store.list("", controller.signal)) {
          seen.push(info.key);
          controller.abort(reason);
        }
      };
      await rejectsWith(reason, listing());
      assert.deepEqual(seen, ["a"]);
    });
  });

  describe("dispose", () => {
    it("refuses every use after dispose", async () => {
      const store = await under.open();
      await put(store, "a", "{}");
      await store[Symbol.asyncDispose]();
      await failsWith("STORE_CLOSED", get(store, "a"));
      await failsWith("STORE_CLOSED", store.head("a", never));
      await failsWith("STORE_CLOSED", put(store, "a", "{}"));
      await failsWith("STORE_CLOSED", store.delete("a", never));
      await failsWith("STORE_CLOSED", list(store, ""));
    });

    it("may be disposed twice, and leaves other clients alone", async () => {
      const store = await under.open();
      await put(store, "a", "{}");
      if (under.reopen !== undefined) {
        await using other = await secondClient(under, store);
        await store[Symbol.asyncDispose]();
        assert.equal((await get(other, "a")).bytes, 2);
      }
      await store[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    });
  });

  describe("url", () => {
    it("names the place and holds no credentials", async () => {
      await using store = await under.open();
      const url = new URL(store.url);
      assert.equal(url.username, "");
      assert.equal(url.password, "");
      assert.equal(url.search, "");
      for (const secret of under.secrets ?? []) assert.ok(!store.url.includes(secret));
    });
  });
}
