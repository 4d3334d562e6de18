/** What `KONG_CLUSTER_FALLBACK_EXPORT_S3_CONFIG` may add to every PutObject. */

import type { PutObjectCommandInput } from "@aws-sdk/client-s3";
import { StoreError } from "../port.ts";

/**
 * Parameters that describe how an object is kept. Left out are those this driver sets itself, the
 * checksums of one certain body, and SSE-C, whose key every reader would need too.
 * https://docs.aws.amazon.com/AWSJavaScriptSDK/v3/latest/Package/-aws-sdk-client-s3/Interface/PutObjectCommandInput/
 */
const TEXT = [
  "ACL",
  "CacheControl",
  "ChecksumAlgorithm",
  "ContentDisposition",
  "ContentLanguage",
  "ExpectedBucketOwner",
  "GrantFullControl",
  "GrantRead",
  "GrantReadACP",
  "GrantWriteACP",
  "ObjectLockLegalHoldStatus",
  "ObjectLockMode",
  "RequestPayer",
  "SSEKMSEncryptionContext",
  "SSEKMSKeyId",
  "ServerSideEncryption",
  "StorageClass",
  "Tagging",
] as const satisfies readonly (keyof PutObjectCommandInput)[];

const FLAGS = ["BucketKeyEnabled"] as const satisfies readonly (keyof PutObjectCommandInput)[];

const TIMES = [
  "ObjectLockRetainUntilDate",
] as const satisfies readonly (keyof PutObjectCommandInput)[];

type Names = (typeof TEXT)[number] | (typeof FLAGS)[number] | (typeof TIMES)[number];

export type S3PutOptions = Partial<Pick<PutObjectCommandInput, Names>>;

export type S3CommonOptions = Pick<S3PutOptions, "ExpectedBucketOwner" | "RequestPayer">;

/** Those that are about the bucket and who asks, not about an object: every request needs them. */
export function forEveryRequest(options: S3PutOptions): S3CommonOptions {
  const { ExpectedBucketOwner, RequestPayer } = options;
  return {
    ...(ExpectedBucketOwner !== undefined && { ExpectedBucketOwner }),
    ...(RequestPayer !== undefined && { RequestPayer }),
  };
}

/**
 * Checks names and types: the SDK drops a misspelt `ServerSideEncryption` in silence, and the
 * backups would lie there unencrypted. Throws STORE_MISCONFIGURED naming every fault, no value.
 */
export function checkPutOptions(options: Readonly<Record<string, unknown>>): S3PutOptions {
  const checked: Record<string, unknown> = {};
  const faults: string[] = [];
  for (const [name, value] of Object.entries(options)) {
    if (includes(TIMES, name)) {
      const time = new Date(typeof value === "string" ? value : Number.NaN);
      if (Number.isNaN(time.getTime()))
        faults.push(`${name} must be a time such as 2030-01-31T00:00:00Z`);
      checked[name] = time;
    } else if (includes(FLAGS, name)) {
      if (typeof value !== "boolean") faults.push(`${name} must be true or false`);
      checked[name] = value;
    } else if (includes(TEXT, name)) {
      if (typeof value !== "string") faults.push(`${name} must be a text`);
      checked[name] = value;
    } else {
      faults.push(`${name} is not a parameter it may set`);
    }
  }
  if (faults.length > 0) {
    throw new StoreError(
      "STORE_MISCONFIGURED",
      `KONG_CLUSTER_FALLBACK_EXPORT_S3_CONFIG cannot be used: ${faults.join("; ")}.`,
      { hint: `It may set ${[...TEXT, ...FLAGS, ...TIMES].join(", ")}.` },
    );
  }
  return checked as S3PutOptions;
}

function includes(names: readonly string[], name: string): boolean {
  return names.includes(name);
}
