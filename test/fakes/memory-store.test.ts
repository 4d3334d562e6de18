/** The in-memory store keeps the promises of a real one, and fails when told to. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { StoreError } from "../../src/store/port.ts";
import {
  failsWith,
  get,
  getIfChanged,
  keys,
  never,
  put,
  rejectsWith,
  text,
} from "../store/conformance/client.ts";
import { storeConformance } from "../store/conformance.ts";
import type { Objects } from "./memory-store.ts";
import { MemoryStore } from "./memory-store.ts";

let latest: Objects = new Map();

storeConformance("MemoryStore", {
  open: async () => {
    latest = new Map();
    return new MemoryStore({ objects: latest });
  },
  reopen: async () => new MemoryStore({ objects: latest }),
});

describe("MemoryStore", () => {
  it("counts the bytes of the bodies it gives out, of which an unchanged object has none", async () => {
    const store = new MemoryStore();
    const { version } = await put(store, "a", "12345");
    await getIfChanged(store, "a", version);
    assert.equal(store.bytesRead, 0);
    await get(store, "a");
    await put(store, "a", "123");
    await getIfChanged(store, "a", version);
    assert.equal(store.bytesRead, 8);
  });
});

describe("MemoryStore told to fail", () => {
  it("fails as often as asked, then works again", async () => {
    const store = new MemoryStore();
    const down = new StoreError("STORE_UNAVAILABLE", "down");
    store.failNext(down, 2);
    await rejectsWith(down, put(store, "a", "1"));
    await rejectsWith(down, keys(store, ""));
    await put(store, "a", "1");
    assert.equal(await text(store, "a"), "1");
  });

  it("asks the interceptor with operation and key, and fails where it throws", async () => {
    const store = new MemoryStore();
    const asked: string[] = [];
    store.intercept = async (operation, key) => {
      asked.push(`${operation} ${key}`);
      if (operation === "delete") throw new StoreError("STORE_DENIED", "no");
    };
    await put(store, "a/b", "1");
    await get(store, "a/b");
    await keys(store, "a");
    await failsWith("STORE_DENIED", store.delete("a/b", never));
    assert.deepEqual(asked, ["put a/b", "get a/b", "list a", "delete a/b"]);
    assert.equal(store.objects.size, 1);
  });

  it("rejects a held-up operation as soon as its signal aborts", async () => {
    const store = new MemoryStore();
    store.intercept = () => new Promise(() => {});
    const controller = new AbortController();
    const reason = new Error("enough");
    const writing = put(store, "a", "1", {}, undefined, controller.signal);
    controller.abort(reason);
    await rejectsWith(reason, writing);
    assert.equal(store.objects.size, 0);
  });
});
