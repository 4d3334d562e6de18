/** What the S3 driver makes of every answer that is not the wanted one: the code, the cause, what to do, and no secret. */

import assert from "node:assert/strict";
import { afterAll, beforeAll, beforeEach, describe, it } from "vitest";
import type { StoreErrorCode } from "../../src/store/port.ts";
import type { Fault } from "../fakes/s3-server.ts";
import { FakeS3 } from "../fakes/s3-server.ts";
import { get, keys, never, put } from "./conformance/client.ts";
import { openS3, refused, SECRET_KEY, SESSION_TOKEN } from "./s3-support.ts";

let server: FakeS3;
beforeAll(async () => {
  server = await FakeS3.start();
});
beforeEach(() => {
  server.fault = () => undefined;
});
afterAll(() => server[Symbol.asyncDispose]());

const CALLS = {
  get: "read",
  head: "read",
  put: "write",
  replace: "write",
  list: "list",
  delete: "delete",
};

/** Makes one call, which meets `fault`. */
async function meet(fault: Fault, call: keyof typeof CALLS): Promise<unknown> {
  await using store = await openS3({ endpoint: server.endpoint, accessKeyId: "fake-key-id" });
  const { version } = await put(store, "a", "1");
  server.fault = () => fault;
  switch (call) {
    case "get":
      return await get(store, "a");
    case "head":
      return await store.head("a", never);
    case "put":
      return await put(store, "a", "2");
    case "replace":
      return await put(store, "a", "2", {}, { ifVersion: version });
    case "list":
      return await keys(store, "a");
    case "delete":
      return await store.delete("a", never);
    default:
      return call satisfies never;
  }
}

/** As AWS sends them besides Code and Message: key id, signed string, signature, token. */
const GOSSIP = {
  AWSAccessKeyId: "AKIAIOSFODNN7EXAMPLE",
  StringToSign: `AWS4-HMAC-SHA256 ${SECRET_KEY}`,
  SignatureProvided: `Signature=${SECRET_KEY}`,
  "Token-0": SESSION_TOKEN,
};

function s3(status: number, code: string, message = "Said so.", headers = {}): Fault {
  return { kind: "error", status, code, message, elements: GOSSIP, headers };
}

function raw(status: number, type: string, body: string, headers = {}): Fault {
  return { kind: "raw", status, headers: { "content-type": type, ...headers }, body };
}

/** No XML, as most of the web. */
function html(status: number, headers = {}): Fault {
  return raw(status, "text/html", `<html><meta><title>${SECRET_KEY}</title></html>`, headers);
}

type Row = readonly [
  what: string,
  call: keyof typeof CALLS,
  fault: Fault,
  message: RegExp,
  hint?: RegExp,
];

const KEY_HINT = /AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN/;
const ENDPOINT_HINT = /AWS_CONFIG_STORAGE_ENDPOINT: scheme .* not that of a console/;
const NO_BUCKET = /there is no bucket "bucket" \(HTTP 404 NoSuchBucket: Said so, request/;
const WRONG_KEY = /does not accept the access key, or its secret is wrong \(HTTP 403/;
const TROUBLE = /overloaded or in trouble \(HTTP/;
const LATE = /the clocks are too far apart: this machine's says /;
const DIFFERENCE = "difference between the request time";
const SIGNATURE = `https://s3.example:9000/x?X-Amz-Signature=${SECRET_KEY}`;

const ROWS: Readonly<Partial<Record<StoreErrorCode, readonly Row[]>>> = {
  STORE_NOT_FOUND: [
    [
      "a missing object",
      "get",
      s3(404, "NoSuchKey"),
      /there is no such object \(HTTP 404 NoSuchKey/,
    ],
    [
      "a missing object, at a head",
      "head",
      s3(404, "NoSuchKey"),
      /no such object \(HTTP 404 NoSuchK/,
    ],
  ],
  STORE_PRECONDITION_FAILED: [
    ["a write meanwhile", "replace", s3(412, "PreconditionFailed"), /written by somebody else/],
    ["a write right now", "replace", s3(409, "ConditionalRequestConflict"), /by somebody else/],
    ["a failed condition without a name", "replace", raw(412, "text/plain", ""), /\(HTTP 412/],
    ["an object that vanished", "replace", s3(404, "NoSuchKey"), /the object to replace is gone/],
  ],
  STORE_DENIED: [
    ["a read", "get", s3(403, "AccessDenied"), /access is denied/, /s3:GetObject .* not exist yet/],
    [
      "a head",
      "head",
      s3(403, "AccessDenied"),
      /access is denied/,
      /s3:GetObject .* not exist yet/,
    ],
    ["a write", "put", s3(403, "AccessDenied"), /access is denied/, /s3:PutObject .*KMS key/],
    ["a listing", "list", s3(403, "AccessDenied"), /access is denied/, /s3:ListBucket/],
    ["a delete", "delete", s3(403, "AccessDenied"), /access is denied/, /s3:DeleteObject/],
    ["a strange key", "get", s3(403, "InvalidAccessKeyId"), WRONG_KEY, KEY_HINT],
    ["a wrong secret", "put", s3(403, "SignatureDoesNotMatch"), WRONG_KEY, KEY_HINT],
    ["a token out of date", "get", s3(400, "ExpiredToken"), /token has expired/, /^Renew it/],
    ["a token to renew", "get", s3(400, "TokenRefreshRequired"), /token has expired/, /^Renew it/],
    ["a token out of date, at a head", "head", s3(400, "ExpiredToken"), /token has expired/],
    ["a token that is none", "get", s3(400, "InvalidToken"), /token is not valid/, KEY_HINT],
    ["a repeated key id", "get", s3(403, "No", "AKIAIOSFODNN7EXAMPLE?"), /No: \[redacted\]\?/],
    ["a proxy's 403", "get", html(403), /HTTP 403 text\/html, no S3 error/, KEY_HINT],
    ["a bare 401", "list", raw(401, "text/plain", "no"), /HTTP 401/, KEY_HINT],
  ],
  STORE_MISCONFIGURED: [
    ["a missing bucket", "get", s3(404, "NoSuchBucket"), NO_BUCKET, /Create the bucket/],
    ["a missing bucket, at a head", "head", s3(404, "NoSuchBucket"), NO_BUCKET],
    ["a missing bucket, at a put", "put", s3(404, "NoSuchBucket"), NO_BUCKET],
    ["a missing bucket, at a replacement", "replace", s3(404, "NoSuchBucket"), NO_BUCKET],
    ["a missing bucket, at a listing", "list", s3(404, "NoSuchBucket"), NO_BUCKET],
    [
      "a bucket's name",
      "get",
      s3(400, "InvalidBucketName"),
      /not take "bucket" for a bucket's name/,
    ],
    [
      "another region, in a header",
      "get",
      s3(301, "PermanentRedirect", "Go.", { "x-amz-bucket-region": "eu-west-1" }),
      /the bucket "bucket" belongs to region eu-west-1/,
      /^Set AWS_REGION=eu-west-1\.$/,
    ],
    [
      "another region, in a sentence",
      "get",
      s3(400, "AuthorizationHeaderMalformed", "wrong; expecting 'home-1'"),
      /belongs to region home-1/,
    ],
    [
      "a region not named",
      "get",
      s3(301, "PermanentRedirect"),
      /the region is wrong/,
      /AWS_REGION/,
    ],
    [
      "a redirect",
      "get",
      html(301, { location: SIGNATURE }),
      /sends us on to https:\/\/s3\.example:9000 \(/,
      ENDPOINT_HINT,
    ],
    [
      "a late request, AWS's tokens",
      "get",
      s3(400, "Odd", "Signature expired: it is"),
      LATE,
      /NTP/,
    ],
    ["a late request", "get", s3(403, "AccessDenied", `The ${DIFFERENCE} and`), LATE, /NTP/],
    ["no conditions", "replace", s3(501, "NotImplemented"), /not implement conditional writes/],
    ["no deletes", "delete", s3(501, "NotImplemented"), /does not implement this request/],
    ["an archived object", "get", s3(403, "InvalidObjectState"), /lies in an archive/, /lifecycle/],
    [
      "a strange refusal",
      "put",
      s3(400, "Odd", "Not you."),
      /refuses the request \(HTTP 400 Odd: N/,
    ],
    ["a web page, 404", "get", html(404), /no S3 server .*HTTP 404 text\/html/, ENDPOINT_HINT],
    ["a web page, 405", "put", html(405), /no S3 server answers there/, ENDPOINT_HINT],
    ["a web page for an object", "get", html(200), /\(an answer without an ETag\)/, ENDPOINT_HINT],
    ["a web page for a head", "head", html(200), /\(an answer without an ETag\)/, ENDPOINT_HINT],
    ["a web page for a put", "put", html(200), /\(an answer without an ETag\)/, ENDPOINT_HINT],
    ["a web page for a listing", "list", html(200), /no S3 server answers there/, ENDPOINT_HINT],
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
    ["throttling", "put", s3(503, "SlowDown", "Later.", { "retry-after": "7" }), TROUBLE],
    ["throttling, MinIO's", "put", s3(503, "SlowDownWrite"), TROUBLE],
    ["a slow upload", "put", s3(400, "RequestTimeout"), TROUBLE],
    ["a failing server, at a head", "head", s3(503, "SlowDown"), TROUBLE],
    ["a failing server", "list", s3(500, "InternalError"), TROUBLE],
    ["a start of MinIO", "get", s3(503, "XMinioServerNotInitialized"), TROUBLE],
    ["a balancer alone", "get", html(502), TROUBLE],
    ["a limit", "delete", html(429), TROUBLE],
  ],
  STORE_FULL: [
    ["a full disk", "put", s3(507, "XMinioStorageFull"), /no space or quota is left/, /Free space/],
    ["a full disk without a name", "put", html(507), /no space or quota is left/],
    ["a quota, Ceph's", "put", s3(403, "QuotaExceeded"), /no space or quota is left/],
    ["a quota, MinIO's", "put", s3(400, "XMinioAdminBucketQuotaExceeded"), /no space or quota/],
  ],
};

for (const [code, rows] of Object.entries(ROWS)) {
  describe(`an S3 answer that means ${code}`, () => {
    for (const [what, call, fault, message, hint] of rows) {
      it(`${what} (${call})`, async () => {
        const rule = message === LATE ? { retryable: true } : {};
        const expected = { code: code as StoreErrorCode, message, hint, ...rule };
        const error = await refused(meet(fault, call), expected);
        const place = `${server.endpoint}, region us-east-1`;
        const begin = `could not ${CALLS[call]} s3://bucket/some/prefix/a at ${place}: `;
        assert.equal(error.message.slice(0, begin.length), begin);
      });
    }
  });
}
