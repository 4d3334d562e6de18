/** An exporter that stood by, was cut off from the control plane, and takes over with the config that it received before. */

import assert from "node:assert/strict";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, it, vi } from "vitest";
import { SharedStore } from "./shared-store.ts";
import { World } from "./world.ts";

// The thread pool that packs has its own time; what comes out is the same.
vi.mock("../../src/snapshots/history-body.ts", async (original) => ({
  ...(await original<object>()),
  packConfig: async (config: Uint8Array) => gzipSync(config),
  unpackConfig: async (body: Uint8Array) => gunzipSync(body),
}));

const DAY_MS = 24 * 3_600_000;

/** How far off a clock is, milliseconds. */
interface Off {
  readonly follower?: number;
  /** While the follower still hears of the control plane; after that it is set right. */
  readonly controlPlane?: number;
}

/** Resolves to what is current once the holder has gone on saving for so many minutes, has died, and the other one holds the lease. */
async function takeOverAfter(minutes: number, off: Off = {}): Promise<string> {
  const store = new SharedStore({ versions: "generation" });
  using world = new World({ seed: 1, stores: [store] });
  world.faults.isOn = false;
  const clocks = world.controlPlane.nodes.map(({ clock }) => clock);
  for (const clock of clocks) clock.set(off.controlPlane ?? 0);
  world.change();
  for (const place of [0, 1]) {
    world.start(place);
    await world.pass(10_000);
  }
  const [holder, follower] = world.exporters;
  assert.ok(holder?.seats[0]?.isActiveHolder && follower !== undefined);
  follower.source.cut("refused");
  follower.machine.wall.set(off.follower ?? 0);
  for (const clock of clocks) clock.set(0);
  for (let minute = 0; minute < minutes; minute += 1) {
    world.change();
    await world.pass(60_000);
  }
  assert.equal(world.sites[0]?.checker.current?.configHash, world.controlPlane.newestHash);
  holder.machine.isDead = true;
  await world.pass(60_000);
  assert.ok(follower.seats[0]?.isActiveHolder);
  const isNewest = world.sites[0]?.checker.current?.configHash === world.controlPlane.newestHash;
  return isNewest ? "the newest" : "another one";
}

describe("an exporter that takes over while cut off from the control plane", () => {
  for (const minutes of [1, 8, 60]) {
    it(`leaves alone what was saved in the last ${minutes} minutes, of which it has heard nothing`, async () => {
      assert.equal(await takeOverAfter(minutes), "the newest");
    });
  }

  for (const [whose, off] of [
    ["its own clock is 10 min slow", { follower: -10 * 60_000 }],
    ["its own clock is 100 days fast", { follower: 100 * DAY_MS }],
    ["what it has was made by a clock that was 4 min fast", { controlPlane: 4 * 60_000 }],
    ["what it has was made by a clock that was 100 days fast", { controlPlane: 100 * DAY_MS }],
  ] as const) {
    it(`does so though ${whose}`, async () => {
      assert.equal(await takeOverAfter(8, off), "the newest");
    });
  }
});
