/** One table of faults for the remote stores: what each meets, the code, the cause, what to do, and no secret. */

import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, it } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { TokenFailure } from "../../src/store/azure/identity.ts";
import { azureError } from "../../src/store/azure/verdicts.ts";
import type { Precondition, Store, StoreErrorCode, Version } from "../../src/store/port.ts";
import { failsWith, get, keys, never, put, rejectsWith, text } from "./conformance/client.ts";
import { refused, SECRET_KEY } from "./refused.ts";
import type { Fault, Stage, StageName } from "./remote-stage.ts";
import { STAGES } from "./remote-stage.ts";

/** Stands for a configuration, which no error may show. */
const BODY = '{"consumers":[{"custom_id":"body-secret"}]}'.repeat(5_000);

const CALLS = {
  get: "read",
  head: "read",
  put: "write",
  replace: "write",
  list: "list",
  delete: "delete",
};
type Call = keyof typeof CALLS;

async function make(call: Call, store: Store, version: Version): Promise<unknown> {
  switch (call) {
    case "get":
      return await get(store, "a");
    case "head":
      return await store.head("a", never);
    case "put":
      return await put(store, "a", BODY);
    case "replace":
      return await put(store, "a", BODY, {}, { ifVersion: version });
    case "list":
      return await keys(store, "a");
    case "delete":
      return await store.delete("a", never);
    default:
      return call satisfies never;
  }
}

function error(status: number, code?: string, message = "Said so.", headers = {}): Fault {
  return { kind: "error", status, message, headers, ...(code === undefined ? {} : { code }) };
}

function raw(status: number, type: string, body: string, headers = {}): Fault {
  return { kind: "page", status, type, body, headers };
}

/** A web page. */
function page(status: number, headers = {}): Fault {
  return { kind: "page", status, headers };
}

/** `every`: each call but `replace`. */
type Row = readonly [
  what: string,
  call: Call | "every" | "transfers",
  fault: Fault,
  message: RegExp,
  hint?: RegExp,
];

type Table = Readonly<Partial<Record<StoreErrorCode, readonly Row[]>>>;

const CALLS_OF: Readonly<Record<"every" | "transfers", readonly Call[]>> = {
  every: ["get", "head", "put", "list", "delete"],
  transfers: ["get", "head", "put", "list"],
};

const BUSY_HINT = /store's health if it lasts/;
const LATE_ANSWER = /the server does not answer in time \(.*150 ms/;

/** What all three meet. */
const COMMON: Table = {
  STORE_UNAVAILABLE: [
    ["a connection that breaks", "every", { kind: "reset" }, /the connection broke \(/, BUSY_HINT],
    [
      "a connection that breaks within the body",
      "get",
      { kind: "half" },
      /the connection broke \(/,
    ],
    ["silence", "every", { kind: "silence" }, LATE_ANSWER, BUSY_HINT],
    ["silence within the body", "get", { kind: "half-silence" }, LATE_ANSWER, BUSY_HINT],
    ["a gateway's page", "every", page(502), /HTTP 502/, /if it lasts/i],
    ["a limit's page", "every", page(429), /HTTP 429/],
  ],
  STORE_MISCONFIGURED: [
    [
      "a portal's page",
      "transfers",
      page(200),
      /no (S3 server|Azure Blob Storage|Cloud Storage) answers/,
    ],
  ],
};

const KEY_HINT = /AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN/;
const ENDPOINT_HINT = /AWS_CONFIG_STORAGE_ENDPOINT: scheme .* not that of a console/;
const NO_BUCKET = /there is no bucket "bucket" \(HTTP 404 NoSuchBucket: Said so, request/;
const WRONG_KEY = /does not accept the access key, or its secret is wrong \(HTTP 403/;
const TROUBLE = /overloaded or in trouble \(HTTP/;
const LATE = /the clocks are too far apart: this machine's says /;
const DIFFERENCE = "difference between the request time";
const SIGNATURE = `https://s3.example:9000/x?X-Amz-Signature=${SECRET_KEY}`;

const S3: Table = {
  STORE_NOT_FOUND: [
    [
      "a missing object",
      "get",
      error(404, "NoSuchKey"),
      /there is no such object \(HTTP 404 NoSuchKey/,
    ],
    [
      "a missing object, at a head",
      "head",
      error(404, "NoSuchKey"),
      /no such object \(HTTP 404 NoSuchK/,
    ],
  ],
  STORE_PRECONDITION_FAILED: [
    ["a write meanwhile", "replace", error(412, "PreconditionFailed"), /written by somebody else/],
    ["a write right now", "replace", error(409, "ConditionalRequestConflict"), /by somebody else/],
    ["a failed condition without a name", "replace", raw(412, "text/plain", ""), /\(HTTP 412/],
    [
      "an object that vanished",
      "replace",
      error(404, "NoSuchKey"),
      /the object to replace is gone/,
    ],
  ],
  STORE_DENIED: [
    [
      "a read",
      "get",
      error(403, "AccessDenied"),
      /access is denied/,
      /s3:GetObject .* not exist yet/,
    ],
    [
      "a head",
      "head",
      error(403, "AccessDenied"),
      /access is denied/,
      /s3:GetObject .* not exist yet/,
    ],
    ["a write", "put", error(403, "AccessDenied"), /access is denied/, /s3:PutObject .*KMS key/],
    ["a listing", "list", error(403, "AccessDenied"), /access is denied/, /s3:ListBucket/],
    ["a delete", "delete", error(403, "AccessDenied"), /access is denied/, /s3:DeleteObject/],
    ["a strange key", "get", error(403, "InvalidAccessKeyId"), WRONG_KEY, KEY_HINT],
    ["a wrong secret", "put", error(403, "SignatureDoesNotMatch"), WRONG_KEY, KEY_HINT],
    ["a token out of date", "get", error(400, "ExpiredToken"), /token has expired/, /^Renew it/],
    [
      "a token to renew",
      "get",
      error(400, "TokenRefreshRequired"),
      /token has expired/,
      /^Renew it/,
    ],
    ["a token out of date, at a head", "head", error(400, "ExpiredToken"), /token has expired/],
    ["a token that is none", "get", error(400, "InvalidToken"), /token is not valid/, KEY_HINT],
    ["a repeated key id", "get", error(403, "No", "AKIAIOSFODNN7EXAMPLE?"), /No: \[redacted\]\?/],
    ["a proxy's 403", "get", page(403), /HTTP 403 text\/html, no S3 error/, KEY_HINT],
    ["a bare 401", "list", raw(401, "text/plain", "no"), /HTTP 401/, KEY_HINT],
  ],
  STORE_MISCONFIGURED: [
    ["a missing bucket", "get", error(404, "NoSuchBucket"), NO_BUCKET, /Create the bucket/],
    ["a missing bucket, at a head", "head", error(404, "NoSuchBucket"), NO_BUCKET],
    ["a missing bucket, at a put", "put", error(404, "NoSuchBucket"), NO_BUCKET],
    ["a missing bucket, at a replacement", "replace", error(404, "NoSuchBucket"), NO_BUCKET],
    ["a missing bucket, at a listing", "list", error(404, "NoSuchBucket"), NO_BUCKET],
    [
      "a bucket's name",
      "get",
      error(400, "InvalidBucketName"),
      /not take "bucket" for a bucket's name/,
    ],
    [
      "another region, in a header",
      "get",
      error(301, "PermanentRedirect", "Go.", { "x-amz-bucket-region": "eu-west-1" }),
      /the bucket "bucket" belongs to region eu-west-1/,
      /^Set AWS_REGION=eu-west-1\.$/,
    ],
    [
      "another region, in a sentence",
      "get",
      error(400, "AuthorizationHeaderMalformed", "wrong; expecting 'home-1'"),
      /belongs to region home-1/,
    ],
    [
      "a region not named",
      "get",
      error(301, "PermanentRedirect"),
      /the region is wrong/,
      /AWS_REGION/,
    ],
    [
      "a redirect",
      "get",
      page(301, { location: SIGNATURE }),
      /sends us on to https:\/\/s3\.example:9000 \(/,
      ENDPOINT_HINT,
    ],
    [
      "a late request, AWS's tokens",
      "get",
      error(400, "Odd", "Signature expired: it is"),
      LATE,
      /NTP/,
    ],
    ["a late request", "get", error(403, "AccessDenied", `The ${DIFFERENCE} and`), LATE, /NTP/],
    ["no conditions", "replace", error(501, "NotImplemented"), /not implement conditional writes/],
    ["no deletes", "delete", error(501, "NotImplemented"), /does not implement this request/],
    [
      "an archived object",
      "get",
      error(403, "InvalidObjectState"),
      /lies in an archive/,
      /lifecycle/,
    ],
    [
      "a strange refusal",
      "put",
      error(400, "Odd", "Not you."),
      /refuses the request \(HTTP 400 Odd: N/,
    ],
    ["a web page, 404", "get", page(404), /no S3 server .*HTTP 404 text\/html/, ENDPOINT_HINT],
    ["a proxy's limit", "put", page(413), /takes no body this long/, /client_max_body_size/],
    ["a web page, 405", "put", page(405), /no S3 server answers there/, ENDPOINT_HINT],
    ["a web page for an object", "get", page(200), /\(an answer without an ETag\)/, ENDPOINT_HINT],
    ["a web page for a head", "head", page(200), /\(an answer without an ETag\)/, ENDPOINT_HINT],
    ["a web page for a put", "put", page(200), /\(an answer without an ETag\)/, ENDPOINT_HINT],
    ["a web page for a listing", "list", page(200), /no S3 server answers there/, ENDPOINT_HINT],
    ["XML for a listing", "list", raw(200, "text/xml", "<a/>"), /an answer that is no listing/],
    [
      "JSON",
      "get",
      raw(404, "application/json", `{"key":"${SECRET_KEY}"}`),
      /application\/json, no/,
    ],
    ["text", "get", raw(400, "text/plain", "HTTPS please"), /no S3 server answers/, ENDPOINT_HINT],
  ],
  STORE_UNAVAILABLE: [
    ["throttling", "put", error(503, "SlowDown", "Later.", { "retry-after": "7" }), TROUBLE],
    ["throttling, MinIO's", "put", error(503, "SlowDownWrite"), TROUBLE],
    ["a slow upload", "put", error(400, "RequestTimeout"), TROUBLE],
    ["a failing server, at a head", "head", error(503, "SlowDown"), TROUBLE],
    ["a failing server", "list", error(500, "InternalError"), TROUBLE],
    ["a start of MinIO", "get", error(503, "XMinioServerNotInitialized"), TROUBLE],
    ["a balancer alone", "get", page(502), TROUBLE],
    ["a limit", "delete", page(429), TROUBLE],
  ],
  STORE_FULL: [
    [
      "a full disk",
      "put",
      error(507, "XMinioStorageFull"),
      /no space or quota is left/,
      /Free space/,
    ],
    ["a full disk without a name", "put", page(507), /no space or quota is left/],
    ["a quota, Ceph's", "put", error(403, "QuotaExceeded"), /no space or quota is left/],
    ["a quota, MinIO's", "put", error(400, "XMinioAdminBucketQuotaExceeded"), /no space or quota/],
  ],
};

const GCS: Table = {
  STORE_NOT_FOUND: [
    [
      "a missing object",
      "get",
      error(404, "notFound", "No such object: backups/a"),
      /no such object/,
      /first export/,
    ],
    [
      "a missing object, at a head",
      "head",
      error(404, "notFound", "No such object: backups/a"),
      /no such object/,
    ],
  ],
  STORE_PRECONDITION_FAILED: [
    ["a write meanwhile", "replace", error(412, "conditionNotMet"), /written by somebody else/],
  ],
  STORE_DENIED: [
    [
      "an account without permission",
      "every",
      error(403, "forbidden", "backup@shop.iam does not have storage.objects.get access."),
      /backup@shop\.iam does not have storage\.objects\.get access/,
      /roles\/storage\.objectUser on gs:\/\/backups/,
    ],
    [
      "a token that is not taken",
      "every",
      error(401, "authError", "Invalid Credentials"),
      /HTTP 401: Invalid Credentials/,
      /Grant the account/,
    ],
  ],
  STORE_MISCONFIGURED: [
    [
      "a missing bucket",
      "every",
      error(404, "notFound", "The specified bucket does not exist."),
      /there is no bucket "backups"/,
      /buckets create gs:\/\/backups/,
    ],
    [
      "a captive portal",
      "every",
      page(200),
      /no Cloud Storage answers there \(HTTP 200 with another body\)/,
      /captive portal/,
    ],
    ["a proxy's limit", "put", page(413), /takes no body this long/, /client_max_body_size/],
    ["a redirect, which is not followed", "every", page(302), /HTTP 302/, /proxy/],
    ["a server that knows no such paths", "every", page(404), /HTTP 404/, /STORAGE_EMULATOR_HOST/],
    [
      "a request it does not understand",
      "every",
      error(400, "invalid", "Invalid bucket name: 'x'"),
      /HTTP 400: Invalid bucket name/,
      /KONG_CLUSTER_FALLBACK_CONFIG_STORAGE/,
    ],
  ],
  STORE_UNAVAILABLE: [
    ["an answer that is cut", "transfers", { kind: "half" }, /the connection broke \(/, BUSY_HINT],
    ["half an answer", "transfers", { kind: "half-silence" }, LATE_ANSWER, BUSY_HINT],
    [
      "too many requests",
      "every",
      error(429, "rateLimitExceeded", "The object exceeded the rate limit."),
      /throttles requests \(HTTP 429: The object exceeded the rate limit\)/,
      /one write per second/,
    ],
    [
      "a quota that is used up",
      "every",
      error(403, "quotaExceeded", "Daily quota exceeded."),
      /throttles requests \(HTTP 403/,
      /tried again/,
    ],
    [
      "an outage",
      "every",
      error(503, "backendError", "We encountered an internal error. Please try again."),
      /answered HTTP 503: We encountered an internal error/,
      /status\.cloud\.google\.com/,
    ],
    ["the outage of a proxy in between", "every", page(502), /answered HTTP 502/, /tried again/],
    ["a damaged body", "get", { kind: "damage" }, /do not have the object's CRC32C/],
  ],
};

const TOO_OLD = "Request date header too old: 'Sat, 21 Nov 2026 10:00:00 GMT'";
const SIGNED = "The MAC signature is not the same. String to sign: 'body-secret sig=abc'";
const OVER = "Signature not valid in the specified time frame: Start [a] - Expiry [b]";

const AZURE: Table = {
  STORE_DENIED: [
    [
      "a wrong key",
      "every",
      error(403, "AuthenticationFailed", SIGNED),
      /does not accept the credentials \(HTTP 403 AuthenticationFailed, request 6a1b/,
      /AZURE_STORAGE_KEY/,
    ],
    [
      "an expired SAS token",
      "every",
      error(403, "AuthenticationFailed", OVER),
      /has expired/,
      /AZURE_STORAGE_SAS_TOKEN/,
    ],
    [
      "a token it does not know",
      "every",
      error(401, "InvalidAuthenticationInfo"),
      /HTTP 401/,
      /AZURE_TENANT_ID/,
    ],
    [
      "an identity without the role",
      "every",
      error(403, "AuthorizationPermissionMismatch"),
      /do not reach so far/,
      /Storage Blob Data Contributor/,
    ],
    ["a firewall", "every", error(403, "AuthorizationFailure"), /access is denied/, /firewall/],
    [
      "keys that are switched off",
      "every",
      error(403, "KeyBasedAuthenticationNotPermitted"),
      /takes no access keys/,
      /identity/,
    ],
    ["a disabled account", "every", error(403, "AccountIsDisabled"), /is disabled/, /subscription/],
    ["a 403 of a new name", "every", error(403, "SomethingNew"), /HTTP 403 SomethingNew/, /role/],
  ],
  STORE_MISCONFIGURED: [
    [
      "a clock that is off",
      "every",
      error(403, "AuthenticationFailed", TOO_OLD),
      /clocks are too far apart: the server's says/,
      /NTP/,
    ],
    [
      "an immutability policy",
      "every",
      error(409, "BlobImmutableDueToPolicy"),
      /cannot be replaced/,
      /immutability/,
    ],
    [
      "a missing container",
      "every",
      error(404, "ContainerNotFound"),
      /no container "backups"/,
      /az storage/,
    ],
    [
      "a 400 of a new name",
      "every",
      error(400, "InvalidHeaderValue"),
      /refuses the request/,
      /docs/,
    ],
    [
      "a portal's page",
      "every",
      page(200),
      /no Azure Blob Storage answers/,
      /AZURE_STORAGE_ENDPOINT/,
    ],
    ["a proxy's limit", "put", page(413), /takes no body this long/, /client_max_body_size/],
    ["a portal's refusal", "every", page(403), /no Azure Blob Storage answers/, /prox/],
  ],
  STORE_UNAVAILABLE: [
    ["a body that was damaged", "every", error(400, "Md5Mismatch"), /arrived damaged/, /network/],
    ["throttling", "every", error(503, "ServerBusy"), /overloaded/, /health/],
    ["a timeout of its own", "every", error(500, "OperationTimedOut"), /overloaded/, /health/],
    ["a gateway's 502", "every", page(502), /HTTP 502, no Azure error/, /health/],
    ["a reset", "every", { kind: "reset" }, /connection broke \(ECONNRESET\)/, /health/],
    ["a damaged body", "get", { kind: "damage" }, /do not have the object's MD5/],
  ],
  STORE_NOT_FOUND: [
    [
      "a missing object",
      "get",
      error(404, "BlobNotFound"),
      /there is no such object \(HTTP 404 BlobNotFound/,
      /first export/,
    ],
    ["a missing object, at a head", "head", error(404, "BlobNotFound"), /there is no such object/],
  ],
  STORE_PRECONDITION_FAILED: [
    ["a write meanwhile", "replace", error(412, "ConditionNotMet"), /written by somebody else/],
    [
      "an object that vanished",
      "replace",
      error(404, "BlobNotFound"),
      /the object to replace is gone/,
    ],
  ],
};

const TABLES: Readonly<Record<StageName, Table>> = {
  S3,
  "Google Cloud Storage": GCS,
  Azure: AZURE,
};

/** Calls that may be two requests: a HEAD of which only a GET tells what is wrong, a description with its body, a look at the bucket. */
const OF_TWO: Readonly<Record<StageName, readonly Call[]>> = {
  S3: ["head", "replace"],
  "Google Cloud Storage": ["get", "head", "delete"],
  Azure: ["head"],
};

describe.each(Object.keys(STAGES) as StageName[])("%s", (name) => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await STAGES[name]();
  });
  afterAll(() => stage[Symbol.asyncDispose]());
  beforeEach(() => stage.fail(undefined));

  for (const table of [COMMON, TABLES[name]]) {
    for (const [code, rows] of Object.entries(table) as [StoreErrorCode, readonly Row[]][]) {
      it.each(rows.map((row) => ({ what: row[0], which: row[1], row })))(
        `says ${code} for $what ($which)`,
        async ({ row }) => {
          const [, which, fault, message, hint] = row;
          await using patient = await stage.open();
          await using store = fault.kind.endsWith("silence")
            ? await stage.open({ timeoutMs: 150 })
            : await stage.open();
          const { version } = await put(patient, "a", BODY);
          stage.fail(fault);
          const calls = which === "every" || which === "transfers" ? CALLS_OF[which] : [which];
          for (const call of calls) {
            stage.requests();
            const rule = message === LATE ? { retryable: true } : {};
            const expected = { code, message, hint, ...rule };
            const secrets = ["body-secret", ...stage.secrets];
            const error = await refused(make(call, store, version), expected, secrets);
            const begin = `could not ${CALLS[call]} ${stage.root}a at ${stage.endpoint}`;
            assert.equal(error.message.slice(0, begin.length), begin);
            assert.ok(stage.requests() <= (OF_TWO[name].includes(call) ? 2 : 1), call);
          }
          stage.fail(undefined);
          assert.equal((await get(patient, "a")).bytes, BODY.length);
        },
      );
    }
  }

  describe("whose connection breaks within a conditional write", () => {
    const META = { "write-id": "1" };
    const method = name === "Google Cloud Storage" ? "POST" : "PUT";
    let store: Store;
    beforeEach(async () => {
      store = await stage.open();
      await store.delete("a", never);
      return () => store[Symbol.asyncDispose]();
    });
    const write = (when?: Precondition) => put(store, "a", BODY, META, when);

    it("has lost where another object is there already, or another one by now", async () => {
      const { version } = await put(store, "a", "1");
      await put(store, "a", "2");
      for (const when of [{ ifAbsent: true }, { ifVersion: version }] as const) {
        stage.fail({ kind: "reset" }, method);
        await failsWith("STORE_PRECONDITION_FAILED", write(when));
        stage.fail(undefined);
        assert.equal(await text(store, "a"), "2");
      }
    });

    it("does not know where the write may be the one that lies there", async () => {
      stage.fail({ kind: "lost" }, method);
      await failsWith("STORE_UNAVAILABLE", write({ ifAbsent: true }));
      stage.fail(undefined);
      assert.equal(await text(store, "a"), BODY);
    });

    it("does not know while nothing lies there, or the version to replace does", async () => {
      stage.fail({ kind: "reset" }, method);
      await failsWith("STORE_UNAVAILABLE", write({ ifAbsent: true }));
      stage.fail(undefined);
      const { version } = await put(store, "a", "1");
      stage.fail({ kind: "reset" }, method);
      await failsWith("STORE_UNAVAILABLE", write({ ifVersion: version }));
    });

    it("asks nothing without a condition, and says what went wrong first where it cannot look", async () => {
      await put(store, "a", "1");
      stage.fail({ kind: "reset" });
      stage.requests();
      const broke = { code: "STORE_UNAVAILABLE", message: /the connection broke/ } as const;
      await refused(write(), broke);
      assert.equal(stage.requests(), 1);
      await refused(write({ ifAbsent: true }), broke);
      assert.equal(stage.requests(), 2);
    });
  });

  describe("with a request under way", () => {
    it("rejects with the signal's reason, and with STORE_CLOSED when it is disposed", async () => {
      const store = await stage.open({ timeoutMs: 600_000 });
      const reason = new Error("stopped");
      const controller = new AbortController();
      stage.onRequest(() => controller.abort(reason));
      await rejectsWith(reason, put(store, "a", "1", {}, undefined, controller.signal));
      let disposed: PromiseLike<void> | undefined;
      stage.onRequest(() => {
        disposed = store[Symbol.asyncDispose]();
      });
      await refused(get(store, "a"), { code: "STORE_CLOSED", message: /the store was closed/ });
      await disposed;
    });
  });

  describe("that does not find its server", () => {
    const ENDPOINT = /AWS_CONFIG_STORAGE_ENDPOINT|STORAGE_EMULATOR_HOST|AZURE_STORAGE_ENDPOINT/;

    async function everyFails(
      endpoint: string,
      code: StoreErrorCode,
      message: RegExp,
      hint: RegExp = ENDPOINT,
    ): Promise<void> {
      await using store = await stage.open({ endpoint });
      for (const call of CALLS_OF.every) {
        await refused(make(call, store, "0" as Version), { code, message, hint }, ["body-secret"]);
      }
    }

    it("for nobody listens", async () => {
      const closed = createServer().listen(0, "127.0.0.1");
      await once(closed, "listening");
      const { port } = closed.address() as AddressInfo;
      closed.close();
      await once(closed, "close");
      const message = /the server cannot be reached \(.*ECONNREFUSED/;
      await everyFails(`http://127.0.0.1:${port}`, "STORE_UNAVAILABLE", message, /.*DNS, egress/);
    });

    it("for the host has no address", async () => {
      const message = /cannot be reached \(.*(ENOTFOUND|EAI_AGAIN)/;
      await everyFails("http://store.invalid:9000", "STORE_UNAVAILABLE", message);
    });

    it("for something else than HTTP listens, or plain HTTP where https is asked", async () => {
      const greeter = createServer((socket) =>
        socket
          .on("error", () => {})
          .resume()
          .end("SSH-2.0-OpenSSH_9.9\r\n"),
      );
      greeter.listen(0, "127.0.0.1");
      await once(greeter, "listening");
      const { port } = greeter.address() as AddressInfo;
      const message = /no (S3 server|Azure Blob Storage|Cloud Storage) answers there \(/;
      await everyFails(`http://127.0.0.1:${port}`, "STORE_MISCONFIGURED", message);
      greeter.close();
      const https = stage.endpoint.replace("http:", "https:");
      await everyFails(https, "STORE_MISCONFIGURED", message);
    });
  });
});

describe("an identity of Azure that gets no token", () => {
  const attempt = {
    action: "read",
    target: "azure://kongfallback/backups/a",
    bucket: "backups",
    place: "https://kongfallback.blob.core.windows.net, an identity",
    when: undefined,
    clock: systemClock,
  } as const;

  it.each<
    readonly [
      string,
      string,
      ConstructorParameters<typeof TokenFailure>[2],
      StoreErrorCode,
      boolean,
      RegExp,
    ]
  >([
    ["nobody answers", "managed identity", {}, "STORE_DENIED", true, /assign an identity/],
    ["HTTP 429", "managed identity", { status: 429 }, "STORE_DENIED", true, /assign an identity/],
    ["HTTP 429", "client secret", { status: 429 }, "STORE_UNAVAILABLE", true, /AUTHORITY_HOST/],
    ["HTTP 503", "workload identity", { status: 503 }, "STORE_UNAVAILABLE", true, /egress to/],
    [
      "ECONNREFUSED",
      "client secret",
      { nodeCode: "ECONNREFUSED" },
      "STORE_UNAVAILABLE",
      true,
      /DNS/,
    ],
    [
      "invalid_client",
      "client secret",
      { status: 401, oauth: "invalid_client" },
      "STORE_DENIED",
      false,
      /CLIENT_SECRET/,
    ],
    [
      "AADSTS7000222",
      "client secret",
      { status: 401, aadsts: "AADSTS7000222" },
      "STORE_DENIED",
      false,
      /secret has expired/,
    ],
    [
      "AADSTS50000",
      "workload identity",
      { status: 503, aadsts: "AADSTS50000" },
      "STORE_DENIED",
      false,
      /TOKEN_FILE/,
    ],
    [
      "ENOENT",
      "workload identity",
      { nodeCode: "ENOENT" },
      "STORE_DENIED",
      true,
      /AZURE_FEDERATED_TOKEN_FILE/,
    ],
    [
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      "client secret",
      { nodeCode: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" },
      "STORE_MISCONFIGURED",
      false,
      /NODE_EXTRA_CA_CERTS/,
    ],
  ])("%s (%s)", async (said, identity, seen, code, retryable, hint) => {
    const failure = new TokenFailure(identity, new Error("body-secret"), seen);
    const message = new RegExp(`no access token for the ${identity} \\(.*${said}`);
    const rejected = Promise.reject(azureError(failure, attempt));
    await refused(rejected, { code, message, hint, retryable }, ["body-secret"]);
  });
});
