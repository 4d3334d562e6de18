/** The simulation can fail: with a judge that allows every write, it finds the backup going backwards. */

import assert from "node:assert/strict";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, it, vi } from "vitest";
import type { SaveDecision } from "../../src/snapshots/order.ts";
import type { SnapshotMetadata } from "../../src/snapshots/snapshot.ts";
import { liveThrough, SeedFailed, seedsFrom } from "./many.ts";
import { Violation } from "./violation.ts";

// The thread pool that packs has its own time; what comes out is the same.
vi.mock("../../src/snapshots/history-body.ts", async (original) => ({
  ...(await original<object>()),
  packConfig: async (config: Uint8Array) => gzipSync(config),
  unpackConfig: async (body: Uint8Array) => gunzipSync(body),
}));
vi.mock("../../src/snapshots/order.ts", async (original) => ({
  ...(await original<object>()),
  decideSave: (metadata: SnapshotMetadata): SaveDecision => ({ kind: "write", metadata }),
}));

describe("exporters that never refuse to write", () => {
  it("show a reader an older config within a few hundred seeds", async () => {
    const failure = await liveThrough(seedsFrom(1, 1, 500)).then(
      () => assert.fail("nothing was found"),
      (error: unknown) => error,
    );
    assert.ok(failure instanceof SeedFailed && failure.cause instanceof Violation);
    assert.match(failure.message, /token \d+ after \d+|config of change \d+ after/);
    process.stderr.write(`without a judge: ${failure.message.split("\n")[0]}\n`);
  });
});
