/** What the S3 tests share: a store on a fake or a real server. */

import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from "@aws-sdk/client-s3";
import { systemClock } from "../../src/runtime/clock.ts";
import type { Store } from "../../src/store/port.ts";
import { withoutNodeVersionNotice } from "../../src/store/s3/client.ts";
import type { S3StoreOptions } from "../../src/store/s3.ts";
import { openS3Store } from "../../src/store/s3.ts";
import type { S3Facts } from "../servers/process.ts";
import { SECRET_KEY } from "./refused.ts";

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

/** Makes `bucket` on a real server; `ca` is PEM, for one that speaks https. */
export async function createBucket(
  server: S3Facts,
  bucket: string,
  { ca, isVersioned = false }: { readonly ca?: string; readonly isVersioned?: boolean } = {},
): Promise<void> {
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
  if (isVersioned) {
    const VersioningConfiguration = { Status: "Enabled" } as const;
    await client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }));
  }
  client.destroy();
}
