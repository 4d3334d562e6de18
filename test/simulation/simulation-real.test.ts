/** The same worlds over a real S3 server: time is still virtual, the store is not. */

import assert from "node:assert/strict";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, it, vi } from "vitest";
import { titled, whyMissing } from "../servers/locate.ts";
import { startMinio } from "../servers/minio.ts";
import type { S3Server } from "../servers/process.ts";
import { createBucket, openS3 } from "../store/s3-support.ts";
import { live } from "./run.ts";

// The thread pool that packs has its own time; what comes out is the same.
vi.mock("../../src/snapshots/history-body.ts", async (original) => ({
  ...(await original<object>()),
  packConfig: async (config: Uint8Array) => gzipSync(config),
  unpackConfig: async (body: Uint8Array) => gunzipSync(body),
}));

/** `SIMULATION_REAL_SEEDS=100` for a longer run. */
const SEEDS = Number(process.env["SIMULATION_REAL_SEEDS"] ?? 5);

const missing = whyMissing("minio");

describe.skipIf(missing)(titled("exporters over MinIO", missing), () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await startMinio();
    await createBucket(server, "backups");
  });
  afterAll(() => server?.stop());

  it(
    "never show a reader an older config, and end with the newest one current",
    async () => {
      for (let seed = 1; seed <= SEEDS; seed += 1) {
        const { region } = server;
        await using store = await openS3(server, { bucket: "backups", prefix: `${seed}`, region });
        const { broken, trace } = await live({ seed, stores: [store], isTraced: true });
        const end = trace.slice(-40).join("\n");
        assert.equal(broken, undefined, `seed ${seed}: ${broken}\n${end}`);
      }
    },
    SEEDS * 60_000,
  );
});
