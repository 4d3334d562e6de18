/** Storage URLs: what is understood, and what is said of the rest without repeating a secret. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { parseStorageUrl, parseStorageUrls, StorageUrlError } from "../../src/store/storage-url.ts";

const SECRET = "wJalrXUtnFEMI";

describe("parseStorageUrl", () => {
  it.each([
    ["s3://bucket/prefix", "s3", "s3://bucket/prefix", "bucket", "prefix"],
    ["s3://bucket", "s3", "s3://bucket", "bucket", ""],
    ["s3://bucket/", "s3", "s3://bucket", "bucket", ""],
    [
      "S3://my.bucket-1/team a/kong+é/",
      "s3",
      "s3://my.bucket-1/team a/kong+é",
      "my.bucket-1",
      "team a/kong+é",
    ],
    [" s3://bucket/a@b:c%20d\n", "s3", "s3://bucket/a@b:c%20d", "bucket", "a@b:c%20d"],
    ["gs://bucket_1/prefix", "gcs", "gs://bucket_1/prefix", "bucket_1", "prefix"],
    [
      "gcs://my-bucket.example.com/a/b",
      "gcs",
      "gcs://my-bucket.example.com/a/b",
      "my-bucket.example.com",
      "a/b",
    ],
  ])("understands %j", (text, kind, url, bucket, prefix) => {
    assert.deepEqual(parseStorageUrl(text), { kind, url, bucket, prefix });
  });

  it.each([
    ["azure://account/container/a/b/", "azure://account/container/a/b", "container", "a/b"],
    ["AZURE://account/my-container", "azure://account/my-container", "my-container", ""],
  ])("understands %j", (text, url, container, prefix) => {
    const expected = { kind: "azure", url, account: "account", container, prefix };
    assert.deepEqual(parseStorageUrl(text), expected);
  });

  it.each([
    ["file:///var/backup", "file:///var/backup", "/var/backup"],
    ["file:///var/backup/", "file:///var/backup", "/var/backup"],
    ["file:/var/backup", "file:///var/backup", "/var/backup"],
    ["file://localhost/var/backup", "file:///var/backup", "/var/backup"],
    ["file:///a%20b/c%2Cd/@home", "file:///a%20b/c%2Cd/@home", "/a b/c,d/@home"],
    ["FILE:///", "file:///", "/"],
  ])("understands %j", (text, url, directory) => {
    assert.deepEqual(parseStorageUrl(text), { kind: "file", url, directory });
  });

  it.each([
    ["", /is empty/, /s3:\/\/bucket\/prefix, gs:\/\//],
    ["  ", /is empty/, /file:\/\/\/directory/],
    ["/var/backup", /no scheme/, /file:\/\/\/directory/],
    ["bucket/prefix", /no scheme/, /s3:\/\/bucket\/prefix/],
    ["s3:bucket/prefix", /no scheme/, /s3:\/\/bucket\/prefix/],
    ["s3://", /names no bucket/, /s3:\/\/bucket\/prefix/],
    ["s3:///prefix", /names no bucket/, /s3:\/\/bucket\/prefix/],
    ["s3://Bucket/prefix", /cannot exist: "Bucket"/, /lower-case/],
    ["s3://ab", /cannot exist: "ab"/, /3 to 63/],
    ["s3://a_b/prefix", /cannot exist: "a_b"/, /hyphens/],
    ["s3://a..b/prefix", /cannot exist/, /no two dots/],
    ["s3://-bucket", /cannot exist/, /both ends/],
    ["s3://127.0.0.1/bucket", /cannot exist/, /IP address/],
    [`s3://${"b".repeat(64)}`, /cannot exist/, /3 to 63/],
    ["gs://Bucket", /cannot exist: "Bucket"/, /lower-case/],
    [`gs://${"b".repeat(64)}/x`, /cannot exist/, /3 to 63/],
    ["s3://bucket//prefix", /begins with "\/"/, /s3:\/\/bucket\/prefix/],
    ["s3://bucket/a//b", /empty segment/, /s3:\/\/bucket\/prefix/],
    ["s3://bucket/a/../b", /segment "\." or "\.\."/, /s3:\/\/bucket\/prefix/],
    ["s3://bucket/a\u0000b", /control character/, /s3:\/\/bucket\/prefix/],
    [`s3://bucket/${"p".repeat(513)}`, /513 bytes long/, /s3:\/\/bucket\/prefix/],
    ["s3://bucket/prefix?region=eu", /"s3:\/\/bucket\/prefix…" goes on with a "\?"/, /AWS_REGION/],
    ["s3://bucket/prefix#x", /goes on with/, /AWS_REGION/],
    ["s3://a-bucket/x,gs://b-bucket/y", /begins a list where one store is expected/, /one store/],
    ["azure://", /names no storage account/, /azure:\/\/account\/container\/prefix/],
    ["azure://my-account/container", /names no storage account/, /3 to 24 lower-case/],
    ["azure://acme.blob.core.windows.net/kong", /no storage account/, /without \.blob/],
    ["azure://account", /cannot exist: ""/, /azure:\/\/account\/container\/prefix/],
    ["azure://account/Kong", /cannot exist: "Kong"/, /single hyphens/],
    ["azure://account/a--b/c", /cannot exist: "a--b"/, /single hyphens/],
    ["azure://account/$root/a", /cannot exist/, /3 to 63/],
    ["azure://account/container/a//b", /empty segment/, /azure:\/\/account/],
    ["azure://account/container/a\\b", /has a backslash/, /write a slash/],
    ["https://s3.amazonaws.com/bucket", /is a web address/, /AWS_CONFIG_STORAGE_ENDPOINT/],
    ["ftp://host/dir", /unknown scheme ftp/, /file:\/\/\/directory/],
    ["file://backup/kong", /names the host "backup"/, /three slashes/],
    ["file:backup", /is not a path/, /three slashes/],
    ["file://", /is not a path/, /three slashes/],
    ["file:////server/share", /is not a path/, /three slashes/],
    ["file:///a%2Fb", /is not a path/, /three slashes/],
    ["file:///a%00b", /is not a path/, /three slashes/],
    ["file:///a\nb", /is not a path/, /three slashes/],
  ])("refuses %j", (text, message, hint) => {
    const error = refusal(text);
    assert.match(error.message, message);
    assert.match(error.hint ?? "", hint);
  });

  it.each([
    `s3://AKIAIOSFODNN7:${SECRET}@bucket/prefix`,
    `s3://AKIAIOSFODNN7:${SECRET}/with/slashes@bucket/prefix`,
    `s3://${SECRET}@bucket`,
    `s3://minio:9000/${SECRET}`,
    `gs://${SECRET}:x@bucket/prefix`,
    `file://user:${SECRET}@host/dir`,
    `https://user:${SECRET}@minio:9000/bucket`,
    `ftp://user:${SECRET}@host/dir`,
    `azure://account/container?sig=${SECRET}`,
    `s3://bucket/prefix?X-Amz-Signature=${SECRET}`,
    `s3://bucket/x,s3://user:${SECRET}@bucket/y`,
    `user:${SECRET}@host`,
    `minio/${SECRET}`,
  ])("does not repeat the secret of %j", (text) => {
    const error = refusal(text);
    assert.ok(
      !`${error.stack} ${error.hint} ${String(error.cause)}`.includes(SECRET),
      error.message,
    );
  });

  it("says of credentials in the URL where they belong", () => {
    const error = refusal(`s3://key:${SECRET}@bucket/prefix`);
    assert.match(error.message, /"s3:\/\/…" holds credentials, or a host with a port/);
    assert.match(error.hint ?? "", /AWS_ACCESS_KEY_ID.*AWS_CONFIG_STORAGE_ENDPOINT/);
  });
});

function refusal(text: string): StorageUrlError {
  try {
    parseStorageUrl(text);
  } catch (error) {
    assert.ok(error instanceof StorageUrlError, String(error));
    assert.equal(error.code, "STORAGE_URL_INVALID");
    assert.equal(error.exitStatus, 2);
    assert.equal(error.retryable, false);
    return error;
  }
  throw new assert.AssertionError({ message: `${text} was understood` });
}

describe("parseStorageUrls", () => {
  it("reads one or several, in their order, with blanks around them", () => {
    const urls = (text: string) => parseStorageUrls(text).map(({ url }) => url);
    assert.deepEqual(urls("s3://bucket/a"), ["s3://bucket/a"]);
    assert.deepEqual(urls("s3://bucket/a, gs://bucket/a ,file:///a"), [
      "s3://bucket/a",
      "gs://bucket/a",
      "file:///a",
    ]);
  });

  it("refuses the same place twice, however it is written", () => {
    for (const text of [
      "s3://bucket/a,S3://bucket/a/",
      "gs://bucket,gcs://bucket",
      "file:/a,file:///a/",
      "azure://account/box/a,AZURE://account/box/a/",
    ]) {
      assert.throws(() => parseStorageUrls(text), /stands in the list twice/, text);
    }
  });

  it("refuses an empty place in the list, and repeats no secret of any", () => {
    assert.throws(() => parseStorageUrls("s3://bucket/a,"), /is empty/);
    assert.throws(
      () => parseStorageUrls("s3://bucket/a,s3://user:wJalrXUtnFEMI@bucket/b"),
      (error: Error) => !error.message.includes("wJalrXUtnFEMI"),
    );
  });
});
