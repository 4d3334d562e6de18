/** The simulation can fail: with a judge that allows every write, it finds the backup going backwards. */

import assert from "node:assert/strict";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, it, vi } from "vitest";
import type { SaveDecision } from "../../src/snapshots/order.ts";
import type { SnapshotMetadata } from "../../src/snapshots/snapshot.ts";
import { firstBroken } from "./many.ts";

// The thread pool that packs has its own time; what comes out is the same.
vi.mock("../../src/snapshots/history-body.ts", async (original) => ({
  ...(await original<object>()),
  packConfig: async (config: Uint8Array) => gzipSync(config),
  unpackConfig: async (body: Uint8Array) => gunzipSync(body),
}));
vi.mock("../../src/snapshots/order.ts", async (original) => ({
  ...(await original<object>()),
  decideSave: (metadata: SnapshotMetadata): SaveDecision => ({
    kind: "write",
    rule: "free",
    metadata,
  }),
}));

describe("exporters that never refuse to write", () => {
  it("show a reader an older config within a few hundred seeds", async () => {
    const broken = await firstBroken(/token \d+ after \d+|config of change \d+ after/);
    assert.ok(broken, "nothing was found");
    process.stderr.write(`without a judge: ${broken}\n`);
  });
});
