/** Temporary credentials in a process that runs for weeks. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it, vi } from "vitest";
import { get, put } from "./conformance/client.ts";
import { refused } from "./refused.ts";
import type { AwsWorld } from "./s3-identity.ts";
import { startAws, stubAws } from "./s3-identity.ts";

/** Less is renewed at the next request. */
const ENOUGH_MS = 6 * 60_000;
const LITTLE_MS = 4 * 60_000;

let aws: AwsWorld;
beforeEach(async () => {
  aws = await startAws();
  stubAws({
    AWS_EC2_METADATA_DISABLED: "false",
    AWS_EC2_METADATA_SERVICE_ENDPOINT: aws.identity.endpoint,
  });
});
afterEach(async () => {
  vi.useRealTimers();
  await aws[Symbol.asyncDispose]();
});

const eight = <T>(run: () => Promise<T>) => Promise.all(Array.from({ length: 8 }, run));

describe("S3 with credentials that expire", () => {
  it("asks once for many requests, and keeps what it got", async () => {
    aws.identity.lifetimeMs = ENOUGH_MS;
    await using store = await aws.open();
    await eight(() => put(store, "a", "1"));
    await eight(() => get(store, "a"));
    assert.equal(aws.identity.issued, 1);
  });

  it("renews them, once for many requests, before they expire", async () => {
    aws.identity.lifetimeMs = LITTLE_MS;
    aws.identity.fault = ({ method }) => {
      if (method === "PUT" && aws.identity.issued === 1) aws.identity.lifetimeMs = ENOUGH_MS;
      return undefined;
    };
    await using store = await aws.open();
    await put(store, "a", "1");
    await eight(() => get(store, "a"));
    await vi.waitUntil(async () => {
      await get(store, "a");
      return aws.sessions().at(-1) === "session-2";
    });
    assert.equal(aws.identity.issued, 2);
  });

  it("goes on with what is valid where they cannot be renewed, fails when it is not, and recovers with the next request", async () => {
    aws.identity.lifetimeMs = LITTLE_MS;
    await using store = await aws.open();
    await put(store, "a", "1");
    aws.identity.fault = () => ({ kind: "refusal", status: 404, code: "" });
    await get(store, "a");
    // The SDK asks Date whether they have expired.
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + LITTLE_MS + 1 });
    await refused(get(store, "a"), {
      code: "STORE_DENIED",
      message: /no usable credentials were found/,
      retryable: true,
    });
    aws.identity.fault = () => undefined;
    await get(store, "a");
    assert.deepEqual(aws.sessions(), ["session-1", "session-1", "session-2"]);
  });

  it("asks anew, before the time, for those that the server says have expired", async () => {
    await using store = await aws.open();
    await put(store, "a", "1");
    aws.s3.fault = ({ headers }) =>
      headers["x-amz-security-token"] === "session-1"
        ? { kind: "error", status: 400, code: "ExpiredToken" }
        : undefined;
    await refused(get(store, "a"), { code: "STORE_DENIED", message: /token has expired/ });
    await get(store, "a");
    assert.deepEqual(aws.sessions(), ["session-1", "session-1", "session-2"]);
  });
});
