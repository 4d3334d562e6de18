/** What the tests of AWS identities share: an S3 and whoever hands out credentials, and nothing of this machine's own. */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vi } from "vitest";
import type { Store } from "../../src/store/port.ts";
import type { S3StoreOptions } from "../../src/store/s3.ts";
import { FakeAwsIdentity } from "../fakes/aws-identity.ts";
import { FakeS3 } from "../fakes/s3-server.ts";
import { openS3 } from "./s3-support.ts";

export interface AwsWorld extends AsyncDisposable {
  readonly s3: FakeS3;
  readonly identity: FakeAwsIdentity;
  /** In a folder of its own. */
  path(name: string): string;
  /** A store whose credentials the SDK's chain finds. */
  open(options?: Partial<S3StoreOptions>): Promise<Store>;
  /** The session token of each request to S3, which is also signed. */
  sessions(): readonly (string | undefined)[];
}

/** Until disposed, the environment has no AWS setting but those of `stubAws`. */
export async function startAws(tls?: {
  readonly key: string;
  readonly cert: string;
}): Promise<AwsWorld> {
  const s3 = await FakeS3.start();
  const identity = await FakeAwsIdentity.start(tls);
  const folder = await mkdtemp(join(tmpdir(), "kong-fallback-aws-"));
  stubAws();
  return {
    s3,
    identity,
    path: (name) => join(folder, name),
    open: (options = {}) =>
      openS3({ endpoint: s3.endpoint, accessKeyId: "" }, { credentials: undefined, ...options }),
    sessions: () =>
      s3.requests.map(({ headers }) => {
        const token = headers["x-amz-security-token"];
        const signed = /SignedHeaders=([^,]+)/.exec(headers.authorization ?? "")?.[1]?.split(";");
        assert.equal(signed?.includes("x-amz-security-token"), token !== undefined);
        return token?.toString();
      }),
    async [Symbol.asyncDispose]() {
      vi.unstubAllEnvs();
      await s3[Symbol.asyncDispose]();
      await identity[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

/** The machine's own AWS settings must not decide a test. */
export function stubAws(env: Readonly<Record<string, string>> = {}): void {
  for (const name of Object.keys(process.env)) {
    if (name.startsWith("AWS_")) vi.stubEnv(name, undefined);
  }
  const files = { AWS_CONFIG_FILE: "/dev/null", AWS_SHARED_CREDENTIALS_FILE: "/dev/null" };
  const all = { ...files, AWS_EC2_METADATA_DISABLED: "true", ...env };
  for (const [name, value] of Object.entries(all)) vi.stubEnv(name, value);
}
