/** What the GCS store says when Cloud Storage refuses, or a transfer breaks. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "vitest";
import type { GcsStoreOptions } from "../../src/store/gcs.ts";
import type { Store, StoreErrorCode } from "../../src/store/port.ts";
import { googleError } from "../fakes/gcs-objects.ts";
import type { Fault, SeenRequest } from "../fakes/gcs-server.ts";
import { FakeGcsServer } from "../fakes/gcs-server.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { failsWith, get, never, put } from "./conformance/client.ts";
import { allFail, assertSays, BODY, openGcs } from "./gcs-support.ts";

let fake: FakeGcsServer;
let store: Store;

function open(options: Partial<GcsStoreOptions> = {}): Store {
  return openGcs(fake.endpoint, options);
}

beforeEach(async () => {
  fake = await FakeGcsServer.start("backups");
  store = open();
  await put(store, "a", BODY);
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await fake[Symbol.asyncDispose]();
});

function answer(status: number, reason: string, message: string): Fault {
  return { kind: "answer", status, json: googleError(status, reason, message) };
}

const isDownload = ({ params }: SeenRequest) => params.get("alt") === "media";

describe("gcs refusals", () => {
  it("says MISCONFIGURED for a missing bucket, and how to make one", async () => {
    await using elsewhere = open({ bucket: "typo" });
    const message = /there is no bucket "typo"/;
    await allFail(elsewhere, "STORE_MISCONFIGURED", message, /buckets create gs:\/\/typo/, "typo");
  });

  it("tells a missing bucket from a missing object by a listing, where the 404 does not say which", async () => {
    const vague = answer(404, "notFound", "Not Found");
    fake.fault = ({ path }) => (path.endsWith("/o") ? undefined : vague);
    await failsWith("STORE_NOT_FOUND", get(store, "b"));
    await store.delete("b", never);
    fake.fault = () => vague;
    await failsWith("STORE_MISCONFIGURED", get(store, "b"));
    await failsWith("STORE_MISCONFIGURED", store.delete("b", never));
  });

  const answers: readonly (readonly [string, Fault, StoreErrorCode, RegExp, RegExp])[] = [
    [
      "an account without permission",
      answer(403, "forbidden", "backup@shop.iam does not have storage.objects.get access."),
      "STORE_DENIED",
      /backup@shop\.iam does not have storage\.objects\.get access/,
      /roles\/storage\.objectUser on gs:\/\/backups/,
    ],
    [
      "a token that is not taken",
      answer(401, "authError", "Invalid Credentials"),
      "STORE_DENIED",
      /HTTP 401: Invalid Credentials/,
      /Grant the account/,
    ],
    [
      "too many requests",
      answer(429, "rateLimitExceeded", "The object exceeded the rate limit."),
      "STORE_UNAVAILABLE",
      /throttles requests \(HTTP 429: The object exceeded the rate limit\)/,
      /one write per second/,
    ],
    [
      "a quota that is used up",
      answer(403, "quotaExceeded", "Daily quota exceeded."),
      "STORE_UNAVAILABLE",
      /throttles requests \(HTTP 403/,
      /tried again/,
    ],
    [
      "an outage",
      answer(503, "backendError", "We encountered an internal error. Please try again."),
      "STORE_UNAVAILABLE",
      /answered HTTP 503: We encountered an internal error/,
      /status\.cloud\.google\.com/,
    ],
    [
      "the outage of a proxy in between",
      { kind: "html", status: 502 },
      "STORE_UNAVAILABLE",
      /answered HTTP 502/,
      /tried again/,
    ],
    [
      "a captive portal",
      { kind: "html", status: 200 },
      "STORE_MISCONFIGURED",
      /no Cloud Storage answers there \(HTTP 200 with another body\)/,
      /captive portal/,
    ],
    [
      "a redirect, which is not followed",
      { kind: "html", status: 302 },
      "STORE_MISCONFIGURED",
      /HTTP 302/,
      /proxy/,
    ],
    [
      "a server that knows no such paths",
      { kind: "html", status: 404 },
      "STORE_MISCONFIGURED",
      /HTTP 404/,
      /STORAGE_EMULATOR_HOST/,
    ],
    [
      "a request it does not understand",
      answer(400, "invalid", "Invalid bucket name: 'x'"),
      "STORE_MISCONFIGURED",
      /HTTP 400: Invalid bucket name/,
      /KONG_CLUSTER_FALLBACK_CONFIG_STORAGE/,
    ],
  ];
  for (const [what, fault, code, message, hint] of answers) {
    it(`says ${code} for ${what}, and asks only once`, async () => {
      fake.fault = () => fault;
      fake.requests.length = 0;
      await allFail(store, code, message, hint);
      assert.ok(fake.requests.length <= 8, `${fake.requests.length} requests`);
    });
  }

  it("says PRECONDITION_FAILED for a 412", async () => {
    const error = await failsWith(
      "STORE_PRECONDITION_FAILED",
      put(store, "a", BODY, {}, { ifAbsent: true }),
    );
    assert.match(error.message, /gs:\/\/backups\/team\/a at .*: the object exists already/);
    assert.equal(error.retryable, false);
  });
});

describe("gcs transfers", () => {
  const downloads: readonly (readonly [Fault, RegExp])[] = [
    [{ kind: "truncate" }, /the connection broke \(other side closed/],
    [{ kind: "flip" }, /do not have the object's CRC32C/],
    [{ kind: "reset" }, /the connection broke \(other side closed/],
    [{ kind: "hang" }, /answer in time \(no rest of the answer within 100 ms\)/],
    [{ kind: "stall" }, /answer in time \(no answer within 100 ms\)/],
    [answer(500, "internalError", "Internal Error"), /HTTP 500/],
  ];
  for (const [fault, message] of downloads) {
    it(`says UNAVAILABLE for a download that meets ${fault.kind}, and gets it whole afterwards`, async () => {
      await using hasty = open({ timeoutMs: 100 });
      fake.fault = (request) => (isDownload(request) ? fault : undefined);
      const error = await failsWith("STORE_UNAVAILABLE", get(hasty, "a"));
      assertSays(error, message, /tried again|if it lasts/);
      assert.equal(error.retryable, true);
      fake.fault = () => undefined;
      assert.equal((await get(hasty, "a")).bytes, BODY.length);
    });
  }

  for (const kind of ["truncate", "reset", "hang", "stall"] as const) {
    it(`says UNAVAILABLE in every operation whose answer meets ${kind}`, async () => {
      await using hasty = open({ timeoutMs: 100 });
      fake.fault = ({ method }) =>
        method === "DELETE" && kind === "truncate" ? { kind: "reset" } : { kind };
      await allFail(hasty, "STORE_UNAVAILABLE", /127\.0\.0\.1/, /if it lasts/);
    });
  }

  it("lets a download take its time while pieces keep coming", async () => {
    const clock = new ManualClock();
    await using patient = open({ timeoutMs: 100, clock });
    const seen: number[] = [];
    let progressed = () => {};
    let arrival = Promise.resolve();
    const turn = async () => {
      await arrival;
      arrival = new Promise((resolve) => {
        progressed = resolve;
      });
      await clock.advance(60);
    };
    fake.fault = (request) => (isDownload(request) ? { kind: "trickle", turn } : undefined);
    const onProgress = (received: number) => {
      seen.push(received);
      progressed();
    };
    await patient.get("a", { maxBytes: 10_000, onProgress }, never);
    assert.equal(seen.length, 10);
  });

  it("lets an upload take its time while pieces keep going", async () => {
    const clock = new ManualClock();
    await using patient = open({ timeoutMs: 300, clock });
    let passedMs = 0;
    fake.arrived = () => {
      passedMs += 1;
      void clock.advance(1);
    };
    // Far more than the network buffers between the two hold.
    await put(patient, "big", Buffer.alloc(32 * 1024 * 1024));
    assert.ok(passedMs > 300, `${passedMs} ms passed`);
  });

  it("says UNAVAILABLE for an upload that arrived damaged: nothing of it is stored", async () => {
    fake.fault = (request) => {
      request.body.fill(
        "x",
        request.body.indexOf("body-secret"),
        request.body.indexOf("body-secret") + 4,
      );
      return undefined;
    };
    const error = await failsWith("STORE_UNAVAILABLE", put(store, "b", BODY));
    assertSays(error, /the body arrived damaged, and was refused/, /sent again/);
    fake.fault = () => undefined;
    await failsWith("STORE_NOT_FOUND", get(store, "b"));
  });
});
