/** What KONG_CLUSTER_FALLBACK_EXPORT_S3_CONFIG puts on the wire, for every object an exporter writes. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "vitest";
import { FakeS3 } from "../fakes/s3-server.ts";
import { refused } from "../store/refused.ts";
import { openS3 } from "../store/s3-support.ts";
import { liveAsExporter, liveAsReader } from "./life.ts";

const CONTEXT = Buffer.from('{"app":"kong"}').toString("base64");

const OPTIONS = {
  ServerSideEncryption: "aws:kms",
  SSEKMSKeyId: "arn:aws:kms:eu-central-1:111122223333:alias/kong",
  SSEKMSEncryptionContext: CONTEXT,
  BucketKeyEnabled: true,
  StorageClass: "STANDARD_IA",
  ACL: "bucket-owner-full-control",
  Tagging: "team=gateway",
  ExpectedBucketOwner: "111122223333",
};

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html */
const HEADERS = {
  "x-amz-server-side-encryption": "aws:kms",
  "x-amz-server-side-encryption-aws-kms-key-id": OPTIONS.SSEKMSKeyId,
  "x-amz-server-side-encryption-context": CONTEXT,
  "x-amz-server-side-encryption-bucket-key-enabled": "true",
  "x-amz-storage-class": "STANDARD_IA",
  "x-amz-acl": "bucket-owner-full-control",
  "x-amz-tagging": "team=gateway",
  "x-amz-expected-bucket-owner": "111122223333",
};

describe("the S3 put options", () => {
  it("go with config, history, lease and probe, signed, and with a read only the bucket's owner", async () => {
    await using s3 = await FakeS3.start();
    // As where a KMS key encrypts: no MD5, and another one for the same body.
    s3.etagOf = () => randomBytes(16).toString("hex");
    const environment = {
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "s3://bucket/kong",
      KONG_CLUSTER_FALLBACK_EXPORT_S3_CONFIG: JSON.stringify(OPTIONS),
      AWS_CONFIG_STORAGE_ENDPOINT: s3.endpoint,
      AWS_ACCESS_KEY_ID: "fake-key-id",
      AWS_SECRET_ACCESS_KEY: "fake-secret",
    };
    await liveAsExporter(environment);
    const kinds = new Set<string>();
    for (const { method, url, headers } of s3.requests) {
      const sent = Object.keys(HEADERS).filter((name) => headers[name] !== undefined);
      if (method !== "PUT") {
        assert.deepEqual(sent, ["x-amz-expected-bucket-owner"], `${method} ${url}`);
        continue;
      }
      for (const [name, value] of Object.entries(HEADERS)) assert.equal(headers[name], value);
      const signed = /SignedHeaders=([^,]+)/.exec(headers.authorization ?? "")?.[1]?.split(";");
      assert.deepEqual(
        Object.keys(HEADERS).filter((name) => !signed?.includes(name)),
        [],
      );
      kinds.add(url.replace(/^\/bucket\/kong\/3\.9\.1\/|\?.*$|\d{8}T.*$/g, ""));
    }
    assert.deepEqual([...kinds].sort(), [
      "config.json",
      "election/lease.json",
      "election/preconditions-probe.json",
      "history/",
    ]);
    assert.ok(s3.statuses.includes(412), "no condition was refused");
    await liveAsReader(environment, async () => {
      s3.buckets.get("bucket")?.delete("kong/3.9.1/config.json");
    });
  }, 60_000);

  it.each([
    "Bucket",
    "Key",
    "Body",
    "ContentLength",
    "ContentType",
    "ContentMD5",
    "ContentEncoding",
    "Metadata",
    "IfMatch",
    "IfNoneMatch",
    "SSECustomerKey",
    "SSECustomerAlgorithm",
    "WebsiteRedirectLocation",
  ])("may not set %s", async (name) => {
    const place = { endpoint: "http://127.0.0.1:1", accessKeyId: "" };
    await refused(openS3(place, { putOptions: { [name]: "x" } }), {
      code: "STORE_MISCONFIGURED",
      message: new RegExp(`${name} is not a parameter it may set`),
    });
  });
});
