/** Which connections the S3 driver uses again: none after a put, for MinIO closes them without a word. */

import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, it } from "vitest";
import type { Store, Version } from "../../src/store/port.ts";
import { FakeS3 } from "../fakes/s3-server.ts";
import { failsWith, get, getIfChanged, keys, never, put, text } from "./conformance/client.ts";
import { openS3 } from "./s3-support.ts";

let fake: FakeS3;
beforeAll(async () => {
  fake = await FakeS3.start();
});
beforeEach(() => {
  fake.requests.length = 0;
  fake.buckets.set("bucket", new Map());
});
afterAll(() => fake[Symbol.asyncDispose]());

const open = () => openS3({ endpoint: fake.endpoint, accessKeyId: "fake-key-id" });

describe("S3 connections", () => {
  it("are closed after a put and kept after everything else", async () => {
    await using store = await open();
    const { version } = await put(store, "a", "1");
    await get(store, "a");
    await getIfChanged(store, "a", version);
    await keys(store, "");
    await store.delete("a", never);
    assert.deepEqual(
      fake.requests.map(({ method, headers }) => `${method} ${headers.connection}`),
      ["PUT close", "GET keep-alive", "GET keep-alive", "GET keep-alive", "DELETE keep-alive"],
    );
  });

  const NEXT: Readonly<Record<string, (store: Store, current: Version) => Promise<unknown>>> = {
    read: (store) => get(store, "a"),
    "read of what may have changed": (store, current) => getIfChanged(store, "a", current),
    "write on condition": (store, current) => put(store, "a", "3", {}, { ifVersion: current }),
    listing: (store) => keys(store, ""),
    delete: (store) => store.delete("a", never),
  };

  it.each(Object.entries(NEXT))("do not break the %s that follows a lost race", async (_, next) => {
    await using store = await open();
    const { version: stale } = await put(store, "a", "1");
    const { version: current } = await put(store, "a", "2");
    await failsWith("STORE_PRECONDITION_FAILED", put(store, "a", "x", {}, { ifAbsent: true }));
    await next(store, current);
    await failsWith("STORE_PRECONDITION_FAILED", put(store, "b", "x", {}, { ifVersion: stale }));
  });

  it("that a read has left open serve one put, and no more", async () => {
    await using store = await open();
    await put(store, "a", "1");
    await get(store, "a");
    await failsWith("STORE_PRECONDITION_FAILED", put(store, "a", "2", {}, { ifAbsent: true }));
    assert.equal(await text(store, "a"), "1");
  });
});
