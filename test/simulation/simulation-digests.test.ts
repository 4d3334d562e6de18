/** As simulation.test.ts, over a store that tells objects apart by their bodies alone, as S3. */

import assert from "node:assert/strict";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, it, vi } from "vitest";
import { faultKinds } from "./injuries.ts";
import { liveIn, liveThrough, report, SEED, SEEDS, seedsFrom } from "./many.ts";

// The thread pool that packs has its own time; what comes out is the same.
vi.mock("../../src/snapshots/history-body.ts", async (original) => ({
  ...(await original<object>()),
  packConfig: async (config: Uint8Array) => gzipSync(config),
  unpackConfig: async (body: Uint8Array) => gunzipSync(body),
}));

describe("exporters over a store whose versions are digests of the body, with everything going wrong", () => {
  if (SEED === undefined)
    it(
      "never show a reader an older config, and end with the newest one current",
      async () => {
        const totals = await liveThrough(seedsFrom(1, 2, SEEDS));
        report("versions are digests of the body", totals);
        // A kind that never comes up proves nothing.
        assert.equal(totals.faults.size, faultKinds({}, 1));
      },
      SEEDS * 200,
    );

  it("live the same life again for the same seed", async () => {
    const first = await liveIn(3, { isTraced: true });
    assert.deepEqual(await liveIn(3, { isTraced: true }), first);
    assert.ok(first.trace.length > 100);
  });

  if (SEED !== undefined && SEED % 2 === 1 % 2)
    it("do well with the seed asked for", async () => {
      const { trace, broken } = await liveIn(SEED ?? 0, { isTraced: true });
      process.stderr.write(`${trace.join("\n")}\n`);
      assert.equal(broken, undefined);
    });
});
