/** What the S3 tests share: a store on a fake or a real server, and a look for secrets in errors. */

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { systemClock } from "../../src/runtime/clock.ts";
import type { Store } from "../../src/store/port.ts";
import { StoreError } from "../../src/store/port.ts";
import { withoutNodeVersionNotice } from "../../src/store/s3/client.ts";
import type { S3StoreOptions } from "../../src/store/s3.ts";
import { openS3Store } from "../../src/store/s3.ts";
import type { S3Facts } from "../servers/process.ts";

/** Of every server in these tests; no message may hold it. */
export const SECRET_KEY = "kong-fallback-secret";
export const SESSION_TOKEN = "kong-fallback-session-token";

export interface S3Place {
  readonly endpoint: string;
  readonly accessKeyId: string;
}

/** A store on `s3://bucket/some/prefix` of this server unless `options` say otherwise. */
export function openS3(place: S3Place, options: Partial<S3StoreOptions> = {}): Promise<Store> {
  const { bucket = "bucket", prefix = "some/prefix" } = options;
  return openS3Store({
    url: `s3://${bucket}/${prefix}`,
    bucket,
    prefix,
    endpoint: place.endpoint,
    credentials: { accessKeyId: place.accessKeyId, secretAccessKey: SECRET_KEY },
    timeoutMs: 10_000,
    clock: systemClock,
    ...options,
  });
}

export interface Expected {
  readonly code: StoreError["code"];
  readonly message: RegExp;
  readonly hint?: RegExp | undefined;
  /** Absent: as the code's rule says. */
  readonly retryable?: boolean;
}

/** Resolves with the StoreError that `promise` rejects with, when it is as expected and holds no secret. */
export async function refused(promise: Promise<unknown>, expected: Expected): Promise<StoreError> {
  const error = await promise.then(
    () => assert.fail("it succeeded"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof StoreError, inspect(error));
  assert.equal(error.code, expected.code, error.message);
  assert.match(error.message, expected.message);
  if (expected.hint !== undefined) assert.match(error.hint ?? "", expected.hint);
  const byRule = error.code === "STORE_UNAVAILABLE" || error.code === "STORE_FULL";
  assert.equal(error.retryable, expected.retryable ?? byRule, "retryable");
  // Everything a logger or a crash could print, down to what inspect hides.
  const printed = inspect(error, { depth: 12, showHidden: true, getters: true });
  const all = [error.message, error.hint, error.stack, printed].join("\n");
  assert.doesNotMatch(
    all,
    new RegExp(`${SECRET_KEY}|${SESSION_TOKEN}|Signature=|AKIA[A-Z0-9]{12}`),
  );
  return error;
}

/** Makes `bucket` on a real server; `ca` is PEM, for one that speaks https. */
export async function createBucket(server: S3Facts, bucket: string, ca?: string): Promise<void> {
  const { endpoint, region, accessKeyId, secretAccessKey } = server;
  const client = withoutNodeVersionNotice(
    () =>
      new S3Client({
        endpoint,
        region,
        credentials: { accessKeyId, secretAccessKey },
        forcePathStyle: true,
        requestHandler: { httpsAgent: ca === undefined ? {} : { ca } },
      }),
  );
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  client.destroy();
}
