/** The simulation can fail: without the conditions on writes, it finds the backup going backwards. */

import assert from "node:assert/strict";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, it, vi } from "vitest";
import { currentKey } from "../../src/snapshots/layout.ts";
import { V391 } from "../fakes/config.ts";
import { firstBroken } from "./many.ts";

// The thread pool that packs has its own time; what comes out is the same.
vi.mock("../../src/snapshots/history-body.ts", async (original) => ({
  ...(await original<object>()),
  packConfig: async (config: Uint8Array) => gzipSync(config),
  unpackConfig: async (body: Uint8Array) => gunzipSync(body),
}));

describe("exporters whose writes of config.json are not conditional", () => {
  it("show a reader an older config, or one of a holder before, within a few hundred seeds", async () => {
    const unconditional = currentKey(V391);
    const broken = await firstBroken(/token \d+ after \d+|config of change \d+ after/, {
      unconditional,
    });
    assert.ok(broken, "nothing was found");
    process.stderr.write(`without conditions: ${broken}\n`);
  });
});
