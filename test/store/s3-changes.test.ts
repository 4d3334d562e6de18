/** The S3 driver asked for an object only where it has changed: what goes over the wire, and what does not. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, it } from "vitest";
import { FakeS3 } from "../fakes/s3-server.ts";
import { describeChanges } from "./conformance/changes.ts";
import { get, getIfChanged, put, text } from "./conformance/client.ts";
import { refused } from "./refused.ts";
import { openS3 } from "./s3-support.ts";

let fake: FakeS3;
const place = () => ({ endpoint: fake.endpoint, accessKeyId: "fake-key-id" });
beforeAll(async () => {
  fake = await FakeS3.start();
});
beforeEach(() => {
  fake.conditions = "honoured";
  fake.fault = () => undefined;
});
afterAll(() => fake[Symbol.asyncDispose]());

/** What was seen and sent before is not counted. */
function forget(): void {
  fake.requests.length = 0;
  fake.statuses.length = 0;
  fake.sentBytes = 0;
}

describe("S3 store on a server that ignores conditions", () => {
  let prefix = "";
  describeChanges({
    open: () => {
      fake.conditions = "ignored";
      prefix = `ignored/${randomUUID()}`;
      return openS3(place(), { prefix });
    },
    reopen: () => openS3(place(), { prefix }),
    without: { metadataInVersion: "an ETag is the MD5 of the body alone" },
  });
});

describe("S3 conditional get", () => {
  it("sends the version as If-None-Match in quotes, and is answered 304 without a body", async () => {
    await using store = await openS3(place());
    const { version } = await put(store, "a", "1");
    forget();
    assert.equal(await getIfChanged(store, "a", version), undefined);
    assert.deepEqual(
      fake.requests.map(({ method, headers }) => `${method} ${headers["if-none-match"]}`),
      [`GET "${version}"`],
    );
    assert.deepEqual(fake.statuses, [304]);
    assert.equal(fake.sentBytes, 0);
  });

  it("gets a changed object with the one request", async () => {
    await using store = await openS3(place());
    const { version } = await put(store, "a", "1");
    await put(store, "a", "22");
    forget();
    const object = await getIfChanged(store, "a", version);
    assert.equal(new TextDecoder().decode(object?.body), "22");
    assert.deepEqual(fake.statuses, [200]);
    assert.equal(fake.sentBytes, 2);
  });

  it("cuts an unchanged body that comes all the same, even under a weak ETag", async () => {
    await using store = await openS3(place());
    const { version } = await put(store, "a", "1");
    const cut = new Promise<void>((resolve) => {
      fake.onCut = resolve;
    });
    const objects = fake.buckets.get("bucket");
    const stored = objects?.get("some/prefix/a");
    assert.ok(stored);
    objects?.set("some/prefix/a", { ...stored, etag: `W/${stored.etag}` });
    // Who waits for the rest of it waits in vain.
    fake.fault = () => ({ kind: "body", bytes: 0, after: "stall" });
    assert.equal(await getIfChanged(store, "a", version), undefined);
    await cut;
    fake.fault = () => undefined;
    assert.equal(await text(store, "a"), "1");
  });

  it("takes a 304 for an answer only where it asked with a condition", async () => {
    await using store = await openS3(place());
    fake.fault = () => ({ kind: "raw", status: 304, headers: {}, body: "" });
    await refused(get(store, "a"), { code: "STORE_MISCONFIGURED", message: /\(HTTP 304 / });
  });

  it("fails as a get does", async () => {
    await using store = await openS3(place());
    const { version } = await put(store, "a", "1");
    fake.fault = () => ({ kind: "error", status: 503, code: "SlowDown" });
    await refused(getIfChanged(store, "a", version), {
      code: "STORE_UNAVAILABLE",
      message: /^could not read s3:\/\/bucket\/some\/prefix\/a at .*HTTP 503 SlowDown/,
    });
  });
});
