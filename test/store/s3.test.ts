/** The S3 driver against the fake: every promise of the port, and what goes over the wire. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, describe, it, vi } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { openStore } from "../../src/store/open.ts";
import { probePreconditions } from "../../src/store/preconditions.ts";
import { parseStorageUrl } from "../../src/store/storage-url.ts";
import { FakeProxy } from "../fakes/proxy.ts";
import type { SeenRequest } from "../fakes/s3-server.ts";
import { FakeS3 } from "../fakes/s3-server.ts";
import { failsWith, get, keys, never, put, text } from "./conformance/client.ts";
import type { StoreUnderTest } from "./conformance.ts";
import { storeConformance } from "./conformance.ts";
import { refused, SECRET_KEY, SESSION_TOKEN } from "./refused.ts";
import { openS3 } from "./s3-support.ts";

let fake: FakeS3;
const place = () => ({ endpoint: fake.endpoint, accessKeyId: "fake-key-id" });
beforeAll(async () => {
  fake = await FakeS3.start();
});
beforeEach(() => {
  fake.requests.length = 0;
  fake.conditions = "honoured";
  fake.fault = () => undefined;
});
afterEach(() => {
  vi.unstubAllEnvs();
});
afterAll(() => fake[Symbol.asyncDispose]());

function underTest(conditions: FakeS3["conditions"]): StoreUnderTest {
  let prefix = "";
  return {
    open: (options) => {
      fake.conditions = conditions;
      prefix = `conformance/${randomUUID()}`;
      return openS3(place(), { ...options, prefix });
    },
    reopen: () => openS3(place(), { prefix }),
    without: { metadataInVersion: "an ETag is the MD5 of the body alone" },
    secrets: [SECRET_KEY],
  };
}

storeConformance("S3 store", underTest("honoured"));
storeConformance("S3 store on a server that wants If-Match bare", underTest("only bare If-Match"));

function seen(place = 0): SeenRequest {
  const request = fake.requests[place];
  assert.ok(request, `there were only ${fake.requests.length} requests`);
  return request;
}

describe("S3 requests", () => {
  it("put the object in one piece, signed, with its length, type and metadata", async () => {
    await using store = await openS3(place());
    await put(store, "3.9.1/config.json", "{}", { sha256: "abc" }, { ifAbsent: true });
    const { method, url, headers } = seen();
    assert.equal(method, "PUT");
    assert.equal(new URL(url, fake.endpoint).pathname, "/bucket/some/prefix/3.9.1/config.json");
    assert.equal(headers["content-length"], "2");
    assert.equal(headers["content-type"], "application/json");
    assert.equal(headers["x-amz-meta-sha256"], "abc");
    assert.equal(headers["if-none-match"], "*");
    assert.match(headers["x-amz-content-sha256"] as string, /^[0-9a-f]{64}$/);
    const unwanted = /^(transfer-encoding|content-encoding|expect|x-amz-(trailer|.*checksum.*))$/;
    assert.deepEqual(
      Object.keys(headers).filter((name) => unwanted.test(name)),
      [],
    );
    assert.equal(fake.requests.length, 1);
  });

  it("are signed for us-east-1 where an endpoint but no region is given", async () => {
    await using store = await openS3(place());
    await put(store, "a", "1");
    assert.match(seen().headers.authorization ?? "", /\/us-east-1\/s3\/aws4_request/);
  });

  it("carry a session token", async () => {
    const credentials = {
      accessKeyId: "fake-key-id",
      secretAccessKey: SECRET_KEY,
      sessionToken: SESSION_TOKEN,
    };
    await using store = await openS3(place(), { credentials });
    await put(store, "a", "1");
    assert.equal(seen().headers["x-amz-security-token"], SESSION_TOKEN);
  });

  it("carry what KONG_CLUSTER_FALLBACK_EXPORT_S3_CONFIG adds to a put", async () => {
    const putOptions = {
      ServerSideEncryption: "aws:kms",
      SSEKMSKeyId: "alias/kong",
      BucketKeyEnabled: true,
      ObjectLockMode: "GOVERNANCE",
      ObjectLockRetainUntilDate: "2030-01-31T00:00:00Z",
    };
    await using store = await openS3(place(), { putOptions });
    await put(store, "a", "1");
    const { headers } = seen();
    assert.equal(headers["x-amz-server-side-encryption"], "aws:kms");
    assert.equal(headers["x-amz-server-side-encryption-aws-kms-key-id"], "alias/kong");
    assert.equal(headers["x-amz-server-side-encryption-bucket-key-enabled"], "true");
    assert.match(headers["x-amz-object-lock-retain-until-date"] as string, /^2030-01-31T00:00:00/);
    assert.equal(await text(store, "a"), "1");
  });

  it("carry what KONG_CLUSTER_FALLBACK_EXPORT_S3_CONFIG says of the bucket, whatever they do", async () => {
    const putOptions = { RequestPayer: "requester", ExpectedBucketOwner: "111122223333" };
    await using store = await openS3(place(), { putOptions });
    const before = fake.requests.length;
    await put(store, "a", "1");
    await put(store, "a", "2", {}, { ifVersion: (await get(store, "a")).version });
    assert.ok((await keys(store, "")).includes("a"));
    await store.delete("a", never);
    const requests = fake.requests.slice(before);
    assert.deepEqual([...new Set(requests.map(({ method }) => method))].toSorted(), [
      "DELETE",
      "GET",
      "PUT",
    ]);
    for (const { method, url, headers } of requests) {
      assert.equal(headers["x-amz-request-payer"], "requester", `${method} ${url}`);
      assert.equal(headers["x-amz-expected-bucket-owner"], "111122223333", `${method} ${url}`);
    }
  });

  it("send a checksum asked for there as a header, the body still in one piece", async () => {
    await using store = await openS3(place(), { putOptions: { ChecksumAlgorithm: "SHA256" } });
    await put(store, "a", "1");
    assert.ok(seen().headers["x-amz-checksum-sha256"]);
    assert.equal(seen().headers["content-length"], "1");
  });

  it("are not repeated: the caller retries", async () => {
    fake.fault = () => ({ kind: "error", status: 503, code: "SlowDown" });
    await using store = await openS3(place());
    await failsWith("STORE_UNAVAILABLE", put(store, "a", "1"));
    await failsWith("STORE_UNAVAILABLE", get(store, "a"));
    assert.equal(fake.requests.length, 2);
  });
});

describe("S3 store on a server that wants If-Match bare", () => {
  it("finds that out with one HEAD, and remembers it", async () => {
    fake.conditions = "only bare If-Match";
    await using store = await openS3(place(), { prefix: "bare" });
    const first = await put(store, "a", "1");
    const second = await put(store, "a", "2", {}, { ifVersion: first.version });
    await put(store, "a", "3", {}, { ifVersion: second.version });
    assert.deepEqual(
      fake.requests.map(({ method, headers }) => `${method} ${headers["if-match"] ?? "-"}`),
      [
        "PUT -",
        `PUT "${first.version}"`,
        "HEAD -",
        `PUT ${first.version}`,
        `PUT ${second.version}`,
      ],
    );
  });

  it("does not ask again where quotes have worked once", async () => {
    await using store = await openS3(place(), { prefix: "quoted" });
    const first = await put(store, "a", "1");
    await put(store, "a", "2", {}, { ifVersion: first.version });
    const stale = put(store, "a", "3", {}, { ifVersion: first.version });
    await failsWith("STORE_PRECONDITION_FAILED", stale);
    assert.ok(fake.requests.every(({ method }) => method === "PUT"));
  });

  it.each([
    ["somebody else's write came first", "3", "PUT", "STORE_PRECONDITION_FAILED"],
    ["the object is still the same", "2", "PUT", "STORE_UNAVAILABLE"],
    ["it cannot be told", "3", "PUT or HEAD", "STORE_UNAVAILABLE"],
  ] as const)("asks what an unknown error means: %s", async (_, now, failing, code) => {
    fake.conditions = "only bare If-Match";
    await using store = await openS3(place(), { prefix: "race" });
    const first = await put(store, "a", "1");
    const { version } = await put(store, "a", "2", {}, { ifVersion: first.version });
    await put(store, "a", now);
    fake.fault = ({ method }) =>
      failing.includes(method) ? { kind: "error", status: 500, code: "UnknownError" } : undefined;
    await failsWith(code, put(store, "a", "4", {}, { ifVersion: version }));
  });

  it("lets the refusal stand where the HEAD fails", async () => {
    await using store = await openS3(place(), { prefix: "headless" });
    const { version } = await put(store, "a", "1");
    await put(store, "a", "2");
    fake.fault = ({ method }) =>
      method === "HEAD" ? { kind: "error", status: 403, code: "AccessDenied" } : undefined;
    await failsWith("STORE_PRECONDITION_FAILED", put(store, "a", "3", {}, { ifVersion: version }));
    assert.equal(await text(store, "a"), "2");
  });
});

describe("preconditions of an S3-compatible server, as the probe finds them", () => {
  it.each([
    ["honoured", "honoured"],
    ["only bare If-Match", "honoured"],
    ["ignored", "ignored"],
    ["not implemented", "refused"],
  ] as const)("%s: %s", async (conditions, kind) => {
    fake.conditions = conditions;
    await using store = await openS3(place(), { prefix: `probe/${conditions}` });
    const support = await probePreconditions(store, "probe.json", never);
    assert.equal(support.kind, kind, support.explanation);
    if (support.kind === "refused") assert.match(support.explanation, /HTTP 501 NotImplemented/);
  });
});

describe("S3 delete", () => {
  it("is content with a server that says the object is missing", async () => {
    fake.fault = () => ({ kind: "error", status: 404, code: "NoSuchKey" });
    await using store = await openS3(place());
    await store.delete("a", never);
    assert.equal(seen().method, "DELETE");
  });
});

describe("A server that wants the bucket in the host's name", () => {
  it("gets it there, and no path style", async () => {
    const { port } = new URL(fake.endpoint);
    await using proxy = await FakeProxy.listen({ leadsTo: Number(port) });
    vi.stubEnv("AWS_ACCESS_KEY_ID", "fake-key-id");
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    fake.fault = () => ({ kind: "raw", status: 200, headers: { etag: '"x"' }, body: "{}" });
    await using store = await openStore(parseStorageUrl("s3://bucket/some/prefix"), {
      clock: systemClock,
      timeoutMs: 5_000,
      endpoint: `http://s3.test:${port}`,
      addressing: "virtual",
      proxies: { http: proxy.url },
    });
    assert.equal(await text(store, "a"), "{}");
    const { url, headers } = seen();
    assert.equal(headers.host, `bucket.s3.test:${port}`);
    assert.equal(new URL(url, fake.endpoint).pathname, "/some/prefix/a");
  });

  it.each(["SecondLevelDomainForbidden", "PathStyleDomainForbidden"])(
    "is told by its %s, with the setting",
    async (code) => {
      fake.fault = () => ({ kind: "error", status: 403, code });
      await using store = await openS3(place());
      await refused(get(store, "a"), {
        code: "STORE_MISCONFIGURED",
        message: /wants the bucket in the host's name/,
        hint: /KONG_FALLBACK_S3_ADDRESSING=virtual/,
      });
    },
  );
});

describe("S3 listing", () => {
  describe("that does not say whether there is more", () => {
    const listing = (content: string) => {
      fake.fault = () => ({
        kind: "raw",
        status: 200,
        headers: { "content-type": "application/xml" },
        body: `<ListBucketResult>${content}</ListBucketResult>`,
      });
    };
    const entry = '<Contents><Key>some/prefix/a</Key><ETag>"x"</ETag><Size>1</Size></Contents>';

    it("ends where its page is not full", async () => {
      await using store = await openS3(place());
      listing(`<Name>bucket</Name>${entry}`);
      assert.deepEqual(await keys(store, ""), ["a"]);
      listing("<Name>bucket</Name>");
      assert.deepEqual(await keys(store, ""), []);
    });

    it("is refused where its page is full: the newest may be missing", async () => {
      await using store = await openS3(place(), { pageSize: 1 });
      listing(`<Name>bucket</Name>${entry}`);
      await refused(keys(store, ""), {
        code: "STORE_UNAVAILABLE",
        message: /the listing does not go on/,
      });
    });
  });

  it("leaves out folder markers and names that are no keys", async () => {
    await using store = await openS3(place(), { prefix: "listed" });
    await put(store, "a/b", "1");
    const stranger = fake.buckets.get("bucket")?.get("listed/a/b");
    assert.ok(stranger);
    for (const name of ["listed/", "listed/a/", "listed/a//c", "listed/../d"]) {
      fake.buckets.get("bucket")?.set(name, stranger);
    }
    assert.deepEqual(await keys(store, ""), ["a/b"]);
    assert.deepEqual(await keys(store, "a"), ["a/b"]);
  });

  it("leaves out what does not lie below the prefix, whatever the server sends", async () => {
    await using store = await openS3(place(), { prefix: "listed" });
    const entry = (key: string) =>
      `<Contents><Key>${key}</Key><ETag>"x"</ETag><Size>1</Size></Contents>`;
    fake.fault = () => ({
      kind: "raw",
      status: 200,
      headers: { "content-type": "application/xml" },
      body: `<ListBucketResult><IsTruncated>false</IsTruncated>${["listed/a/b", "listed/ab", "listing/a/c"].map(entry).join("")}</ListBucketResult>`,
    });
    assert.deepEqual(await keys(store, "a"), ["a/b"]);
  });

  const page = (more: string) => ({
    kind: "raw" as const,
    status: 200,
    headers: { "content-type": "application/xml" },
    body: `<ListBucketResult><IsTruncated>true</IsTruncated>${more}</ListBucketResult>`,
  });

  it.each([
    ["no token", page("")],
    ["the same token again", page("<NextContinuationToken>x</NextContinuationToken>")],
  ])("gives up on a server that promises more and sends %s", async (_, fault) => {
    await using store = await openS3(place());
    fake.fault = () => fault;
    await refused(keys(store, ""), {
      code: "STORE_UNAVAILABLE",
      message: /^could not list s3:\/\/bucket\/some\/prefix\/ at http.* does not go on/,
    });
  });
});
