/** What a kind of store costs at start: a process that opens it, its SDK loaded for that. Build first. */

import { execFileSync } from "node:child_process";
import { bench, describe } from "vitest";

const DIST = new URL("../../dist/", import.meta.url);
const FEW = { iterations: 5, time: 0, warmupIterations: 1, warmupTime: 0 };

/** Opens no connection. */
function open(url: string, azureCredentials: string): void {
  const script = `
    const { openStore } = await import("${DIST}store/open.js");
    const { parseStorageUrl } = await import("${DIST}store/storage-url.js");
    const { systemClock: clock } = await import("${DIST}runtime/clock.js");
    const { Secret } = await import("${DIST}core/secret.js");
    await openStore(parseStorageUrl("${url}"), {
      clock,
      timeoutMs: 1000,
      region: "eu-central-1",
      azureCredentials: ${azureCredentials},
    });
    process.exit();`;
  execFileSync(process.execPath, ["--input-type=module", "-e", script]);
}

describe("a process that opens a store", () => {
  const key = `{ accountKey: new Secret("${Buffer.alloc(64).toString("base64")}") }`;
  bench("azure, with an account key", () => open("azure://account/container", key), FEW);
  bench("azure, with a managed identity", () => open("azure://account/container", "{}"), FEW);
  bench("s3", () => open("s3://bucket", "{}"), FEW);
  bench("gcs", () => open("gs://bucket", "{}"), FEW);
  bench("file", () => open("file:///backup", "{}"), FEW);
  bench("floor: starting Node", () => void execFileSync(process.execPath, ["-e", "0"]), FEW);
});
