/** The S3 driver and a network that fails: cut, silent, unreachable, not trusted, out of time. */

import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, it } from "vitest";
import type { Clock } from "../../src/core/clock.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { certificateAuthority, daysFromNow } from "../fakes/certificates.ts";
import { FakeS3 } from "../fakes/s3-server.ts";
import { get, put, rejectsWith, text } from "./conformance/client.ts";
import { refused } from "./refused.ts";
import { openS3 } from "./s3-support.ts";

let fake: FakeS3;
const place = () => ({ endpoint: fake.endpoint, accessKeyId: "fake-key-id" });
beforeAll(async () => {
  fake = await FakeS3.start();
});
beforeEach(() => {
  fake.fault = () => undefined;
  fake.requests.length = 0;
});
afterAll(() => fake[Symbol.asyncDispose]());

const LARGE = "x".repeat(3_000_000);

describe("S3 store whose connection breaks", () => {
  it("at the end of an answer that is too short", async () => {
    await using store = await openS3(place());
    await put(store, "a", LARGE);
    fake.fault = () => ({ kind: "body", bytes: 1000, after: "end" });
    await refused(get(store, "a"), {
      code: "STORE_UNAVAILABLE",
      message: /^could not read s3:.* the connection broke \(.*ECONNRESET/,
    });
  });

  it("within a write: the object stays as it was, and the next write succeeds", async () => {
    await using store = await openS3(place());
    await put(store, "kept", "old");
    fake.fault = () => ({ kind: "drop" });
    await refused(put(store, "kept", LARGE), {
      code: "STORE_UNAVAILABLE",
      message: /^could not write s3:.* the connection broke \(/,
    });
    fake.fault = () => undefined;
    assert.equal(await text(store, "kept"), "old");
    await put(store, "kept", "new");
    assert.equal(await text(store, "kept"), "new");
  });
});

describe("S3 store that gets no answer", () => {
  it("rejects at once with the signal's reason while credentials are still looked for", async () => {
    const credentials = () => new Promise<never>(() => {});
    await using store = await openS3(place(), { credentials });
    const reason = new Error("stopped");
    const controller = new AbortController();
    const reading = store.get("a", { maxBytes: 10 }, controller.signal);
    controller.abort(reason);
    await rejectsWith(reason, reading);
    assert.equal(fake.requests.length, 0);
  });

  it("rejects a request in flight with the signal's reason, and cuts it", async () => {
    await using store = await openS3(place(), { timeoutMs: 600_000 });
    const reason = new Error("stopped");
    const controller = new AbortController();
    fake.fault = () => {
      controller.abort(reason);
      return { kind: "silence" };
    };
    const cut = new Promise<void>((resolve) => {
      fake.onCut = resolve;
    });
    await rejectsWith(reason, put(store, "a", "1", {}, undefined, controller.signal));
    await cut;
    assert.equal(fake.requests.length, 1);
  });
});

describe("S3 store over https", async () => {
  const authority = await certificateAuthority();
  const serve = async (name: string, notAfter = daysFromNow(1)) => {
    const { cert, key } = await authority.issue(name, { notAfter });
    return FakeS3.start({ tls: { cert, key: key.reveal() } });
  };
  const open = (server: FakeS3, caBundle?: string) =>
    openS3({ endpoint: server.endpoint, accessKeyId: "fake-key-id" }, { caBundle });

  it("trusts the CA it is given", async () => {
    await using server = await serve("127.0.0.1");
    await using store = await open(server, authority.cert);
    // Large enough for the SDK to ask for leave to send it, over another connection, if it were let.
    await put(store, "a", "x".repeat(3_000_000));
    assert.equal((await get(store, "a")).bytes, 3_000_000);
  });

  it("refuses a server whose CA it does not know", async () => {
    await using server = await serve("127.0.0.1");
    await using store = await open(server);
    await refused(get(store, "a"), {
      code: "STORE_MISCONFIGURED",
      message: /certificate is not trusted \(.*(UNABLE_TO_VERIFY|SELF_SIGNED)/,
      hint: /AWS_CA_BUNDLE/,
    });
  });

  it("refuses a certificate for another host", async () => {
    await using server = await serve("minio.example");
    await using store = await open(server, authority.cert);
    await refused(get(store, "a"), {
      code: "STORE_MISCONFIGURED",
      message: /for another host \(.*127\.0\.0\.1/,
    });
  });

  it("refuses a certificate that has expired", async () => {
    await using server = await serve("127.0.0.1", new Date(Date.now() - 60_000));
    await using store = await open(server, authority.cert);
    await refused(get(store, "a"), {
      code: "STORE_MISCONFIGURED",
      message: /not trusted \(.*CERT_HAS_EXPIRED/,
      hint: /if it has expired, renew it/,
    });
  });
});

describe("S3 store that does not agree with its server", () => {
  it("on the time: names both times, and allows for the difference at the next attempt", async () => {
    const fast: Clock = { ...systemClock, now: () => new Date(Date.now() + 3_600_000) };
    await using store = await openS3(place(), { clock: fast });
    const time = "\\d{4}-\\d\\d-\\d\\dT[0-9:.]+Z";
    const error = await refused(put(store, "a", "1"), {
      code: "STORE_MISCONFIGURED",
      message: new RegExp(`too far apart: this machine's says ${time} and the server's ${time} `),
      hint: /NTP/,
      retryable: true,
    });
    const times = [...error.message.matchAll(new RegExp(time, "g"))].map(([at]) => Date.parse(at));
    assert.ok(Math.abs((times[0] ?? 0) - (times[1] ?? 0) - 3_600_000) < 60_000, error.message);
    await put(store, "a", "1");
  });

  it("on the access key: is denied", async () => {
    await using store = await openS3({ ...place(), accessKeyId: "AKIAIOSFODNN7EXAMPLE" });
    await refused(put(store, "a", "1"), {
      code: "STORE_DENIED",
      message: /InvalidAccessKeyId/,
    });
  });

  it("on the region: names the right one", async () => {
    await using store = await openS3(place(), { region: "eu-west-1" });
    await refused(put(store, "a", "1"), {
      code: "STORE_MISCONFIGURED",
      message: /region eu-west-1: the bucket "bucket" belongs to region us-east-1/,
      hint: /AWS_REGION=us-east-1/,
    });
  });
});
