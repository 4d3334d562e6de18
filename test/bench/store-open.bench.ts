/** What a kind of store costs at start: the built program loads its SDK and asks a server that is not there. */

import { spawnSync } from "node:child_process";
import { bench, describe } from "vitest";
import { builtCli } from "../build.ts";

const FEW = { iterations: 10, time: 0, warmupIterations: 1, warmupTime: 0 };
/** Nobody listens there. */
const DEAD = "http://127.0.0.1:1";

/** Throws where it was not the server that was missed. */
function node(argv: readonly string[], environment: Readonly<Record<string, string>> = {}): void {
  const { PATH = "" } = process.env;
  const { status, stderr } = spawnSync(process.execPath, argv, { env: { PATH, ...environment } });
  if (status === null || ![0, 3, 4].includes(status)) throw new Error(stderr.toString());
}

function list(url: string, environment: Readonly<Record<string, string>> = {}): void {
  node([builtCli(), "snapshots", "list"], {
    KONG_VERSION: "3.9.1",
    KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: url,
    ...environment,
  });
}

const S3 = {
  AWS_CONFIG_STORAGE_ENDPOINT: DEAD,
  AWS_REGION: "eu-central-1",
  AWS_ACCESS_KEY_ID: "id",
  AWS_SECRET_ACCESS_KEY: "key",
};
const AZURE = { AZURE_STORAGE_ENDPOINT: DEAD };
const ACCOUNT_KEY = { AZURE_STORAGE_KEY: Buffer.alloc(64).toString("base64") };
const APP = {
  AZURE_TENANT_ID: "tenant",
  AZURE_CLIENT_ID: "client",
  AZURE_CLIENT_SECRET: "secret",
  AZURE_AUTHORITY_HOST: "https://127.0.0.1:1",
};

describe("a process that opens a store", () => {
  bench(
    "azure, with an account key",
    () => list("azure://account/container", { ...AZURE, ...ACCOUNT_KEY }),
    FEW,
  );
  bench(
    "azure, with an identity",
    () => list("azure://account/container", { ...AZURE, ...APP }),
    FEW,
  );
  bench("s3", () => list("s3://bucket", S3), FEW);
  bench("gcs", () => list("gs://bucket", { STORAGE_EMULATOR_HOST: DEAD }), FEW);
  bench("file", () => list("file:///nonexistent"), FEW);
  bench("floor: --version", () => node([builtCli(), "--version"]), FEW);
  bench("floor: starting Node", () => node(["-e", "0"]), FEW);
});
