/** What a command loads is paid for at each of its starts, so it loads the SDK of the store that it is given, and no other. */

import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, it } from "vitest";
import manifest from "../../package.json" with { type: "json" };
import { runOnce } from "./cli.ts";

interface Coverage {
  readonly result: readonly { readonly url: string }[];
}

/** The packages of package.json of which code was loaded, by the comments that the bundler leaves above each module. */
async function loadedBy(
  argv: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<readonly string[]> {
  const directory = await mkdtemp(join(tmpdir(), "kong-fallback-modules-"));
  try {
    const { status, stderr } = await runOnce(argv, { ...environment, NODE_V8_COVERAGE: directory });
    assert.notEqual(status, 2, stderr);
    const urls = new Set<string>();
    for (const name of await readdir(directory)) {
      const { result } = JSON.parse(await readFile(join(directory, name), "utf8")) as Coverage;
      for (const { url } of result) if (url.startsWith("file:")) urls.add(url);
    }
    const texts = await Promise.all([...urls].map((url) => readFile(fileURLToPath(url), "utf8")));
    const isLoaded = (name: string) =>
      texts.some((text) => text.includes(`// node_modules/${name}/`));
    return Object.keys(manifest.devDependencies).filter(isLoaded);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Nobody listens there. */
const DEAD = "http://127.0.0.1:1";

const STORES = [
  ["file:///nonexistent", {}, ["p-retry"]],
  [
    "s3://bucket",
    {
      AWS_CONFIG_STORAGE_ENDPOINT: DEAD,
      AWS_REGION: "eu-central-1",
      AWS_ACCESS_KEY_ID: "id",
      AWS_SECRET_ACCESS_KEY: "key",
    },
    ["@aws-sdk/client-s3"],
  ],
  ["gs://bucket", { STORAGE_EMULATOR_HOST: DEAD }, ["@google-cloud/storage", "p-retry", "undici"]],
  [
    "azure://account/container",
    { AZURE_STORAGE_ENDPOINT: DEAD, AZURE_STORAGE_KEY: Buffer.alloc(64).toString("base64") },
    ["@azure/storage-blob"],
  ],
] as const;

describe("what is loaded", () => {
  it("to say the version, is no SDK", async () => {
    assert.deepEqual(await loadedBy(["--version"], {}), ["env-var", "pino"]);
  });

  it.each(STORES)(
    "to import from %s, is what it needs and nothing of others",
    async (url, environment, needs) => {
      const loaded = await loadedBy(["import", "--force"], {
        KONG_VERSION: "3.9.1",
        KONG_FALLBACK_IMPORT_TO: "-",
        KONG_FALLBACK_READ_TIMEOUT: "1",
        KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: url,
        ...environment,
      });
      assert.deepEqual(loaded, [...needs, "env-var", "pino", "ws"].sort());
    },
  );
});
