/** An exporter's upkeep over a real S3 server, in a bucket that keeps versions: what is deleted there leaves a delete marker. */

import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "vitest";
import { currentKey } from "../../src/snapshots/layout.ts";
import { updateOf, V391 } from "../fakes/config.ts";
import { titled, whyMissing } from "../servers/locate.ts";
import { startMinio } from "../servers/minio.ts";
import type { S3Server } from "../servers/process.ts";
import { createBucket, openS3 } from "../store/s3-support.ts";
import { setUp, until } from "./stage.ts";

const KEY = currentKey(V391);
const { signal } = new AbortController();

const missing = whyMissing("minio");

describe.skipIf(missing)(titled("an exporter over a bucket with versions", missing), () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await startMinio();
    await createBucket(server, "versions", { isVersioned: true });
  });
  afterAll(() => server?.stop());

  it("saves again what was deleted, and what was put back", async () => {
    const { region } = server;
    await using store = await openS3(server, { bucket: "versions", prefix: "p", region });
    const t = setUp({ stores: [store] });
    const config = updateOf("a");
    t.source.emitConfig(config);
    const saved = (count: number) => () => t.log.find("snapshot saved").length === count;
    await until(t.clock, saved(1), 100);
    const first = await store.get(KEY, { maxBytes: 10_000 }, signal);
    await store.delete(KEY, signal);
    await until(t.clock, () => t.seen.includes("mended"), 1_000);
    const again = await store.get(KEY, { maxBytes: 10_000 }, signal);
    assert.equal(again.metadata["sha256"], first.metadata["sha256"]);
    const next = updateOf("b", 1_795_220_100);
    t.source.emitConfig(next);
    await until(t.clock, saved(2), 1_000);
    await store.put(
      KEY,
      first.body,
      { metadata: first.metadata, contentType: "application/json" },
      signal,
    );
    await until(t.clock, () => t.seen.filter((what) => what === "mended").length === 2, 1_000);
    const last = await store.get(KEY, { maxBytes: 10_000 }, signal);
    assert.equal(last.metadata["config-hash"], next.configHash);
    await t.end();
  });
});
