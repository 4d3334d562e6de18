/** Settings that cannot work are refused before anything is sent; credentials that cannot be found, when they are needed. */

import { afterAll, afterEach, beforeAll, describe, it, vi } from "vitest";
import { FakeS3 } from "../fakes/s3-server.ts";
import { get } from "./conformance/client.ts";
import { refused, SECRET_KEY } from "./refused.ts";
import { stubAws } from "./s3-identity.ts";
import { openS3 } from "./s3-support.ts";

let fake: FakeS3;
const place = () => ({ endpoint: fake.endpoint, accessKeyId: "fake-key-id" });
beforeAll(async () => {
  fake = await FakeS3.start();
});
afterEach(() => {
  vi.unstubAllEnvs();
});
afterAll(() => fake[Symbol.asyncDispose]());

describe("S3 settings that cannot work", () => {
  it.each([
    [
      { SSECustomerKey: SECRET_KEY, ServerSideEncyption: "AES256" },
      /SSECustomerKey is not .* ServerSideEncyption is not/,
    ],
    [{ Body: "x", ServerSideEncyption: "AES256" }, /Body is not .*; ServerSideEncyption is not/],
    [
      { BucketKeyEnabled: "yes", SSEKMSKeyId: 7 },
      /must be true or false; SSEKMSKeyId must be a text/,
    ],
    [{ ObjectLockRetainUntilDate: "soon" }, /must be a time such as/],
  ])("refuses the put options %j", async (putOptions, message) => {
    await refused(openS3(place(), { putOptions }), {
      code: "STORE_MISCONFIGURED",
      message,
      hint: /ServerSideEncryption/,
    });
  });

  it.each([
    ["minio:9000", /not an http\(s\):\/\/ address/],
    ["ftp://minio", /not an http\(s\):\/\/ address/],
    [`http://user:${SECRET_KEY}@minio:9000`, /at minio:9000 holds credentials/],
    [`http://minio:9000/?key=${SECRET_KEY}`, /at minio:9000 holds/],
  ])("refuses the endpoint %s", async (endpoint, message) => {
    await refused(openS3(place(), { endpoint }), {
      code: "STORE_MISCONFIGURED",
      message,
      hint: /AWS_CONFIG_STORAGE_ENDPOINT/,
    });
  });

  it("refuses a CA bundle without a certificate", async () => {
    await refused(openS3(place(), { caBundle: "no PEM" }), {
      code: "STORE_MISCONFIGURED",
      message: /AWS_CA_BUNDLE holds no certificate/,
    });
  });

  it("refuses AWS without a region, and names the variable", async () => {
    stubAws();
    await refused(openS3(place(), { endpoint: undefined }), {
      code: "STORE_MISCONFIGURED",
      message: /no AWS region/,
      hint: /Set AWS_REGION/,
    });
  });
});

describe("S3 credentials", () => {
  it("are taken from the environment, as the SDK's chain finds them", async () => {
    stubAws({ AWS_ACCESS_KEY_ID: "fake-key-id", AWS_SECRET_ACCESS_KEY: SECRET_KEY });
    await using store = await openS3(place(), { credentials: undefined });
    await refused(get(store, "a"), { code: "STORE_NOT_FOUND", message: /no such object/ });
  });

  it("that are nowhere: says where they were looked for, and may be asked again", async () => {
    stubAws();
    await using store = await openS3(place(), { credentials: undefined });
    await refused(get(store, "a"), {
      code: "STORE_DENIED",
      message: /no usable credentials were found \(CredentialsProviderError: Could not load/,
      hint: /AWS_ACCESS_KEY_ID.*AWS_PROFILE.*EKS.*ECS.*EC2/,
      retryable: true,
    });
  });

  it("of a token file that is not there: names the file", async () => {
    stubAws({
      AWS_WEB_IDENTITY_TOKEN_FILE: "/nowhere/token",
      AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/kong",
    });
    await using store = await openS3(place(), { credentials: undefined });
    await refused(get(store, "a"), {
      code: "STORE_DENIED",
      message: /no usable credentials were found \(.*ENOENT.*\/nowhere\/token/,
      retryable: true,
    });
  });

  it.each([
    `Command failed: /bin/get --token ${SECRET_KEY}`,
    `Unexpected token 'k', "${SECRET_KEY}" is not valid JSON`,
  ])("of a command that fails: repeats nothing of it (%#)", async (message) => {
    const credentials = async () => {
      throw Object.assign(new Error(message), { name: "CredentialsProviderError" });
    };
    await using store = await openS3(place(), { credentials });
    await refused(get(store, "a"), {
      code: "STORE_DENIED",
      message: /no usable credentials were found \(CredentialsProviderError: its command failed\)/,
      retryable: true,
    });
  });
});
