/** Worlds that have more in them: sealed objects, gates, somebody who means harm, several stores, leases in Kubernetes. */

import assert from "node:assert/strict";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, it, vi } from "vitest";
import { faultKinds } from "./injuries.ts";
import { liveIn, liveThrough, report, SEED, seedsFrom } from "./many.ts";
import { VARIANTS } from "./variants.ts";

// The thread pool that packs has its own time; what comes out is the same.
vi.mock("../../src/snapshots/history-body.ts", async (original) => ({
  ...(await original<object>()),
  packConfig: async (config: Uint8Array) => gzipSync(config),
  unpackConfig: async (body: Uint8Array) => gunzipSync(body),
}));

/** So many worlds have every kind of fault among them. */
const ENOUGH_SEEDS = 40;

for (const { name, seeds, options } of VARIANTS) {
  describe(`worlds with ${name}`, () => {
    if (SEED === undefined)
      it(
        "never show a reader what they must not, and end with the newest config current",
        async () => {
          const totals = await liveThrough(seedsFrom(1, 1, seeds), options);
          report(name, totals);
          // A kind that never comes up proves nothing.
          const { stores = 1, variant = {} } = options;
          if (seeds >= ENOUGH_SEEDS) assert.equal(totals.faults.size, faultKinds(variant, stores));
        },
        seeds * 1_000,
      );

    it("live the same life again for the same seed", async () => {
      const first = await liveIn(1, { ...options, isTraced: true });
      assert.deepEqual(await liveIn(1, { ...options, isTraced: true }), first);
      assert.ok(first.trace.length > 50);
    });

    if (SEED !== undefined)
      it("do well with the seed asked for", async () => {
        const { trace, broken } = await liveIn(SEED ?? 0, { ...options, isTraced: true });
        process.stderr.write(`${trace.join("\n")}\n`);
        assert.equal(broken, undefined);
      });
  });
}
