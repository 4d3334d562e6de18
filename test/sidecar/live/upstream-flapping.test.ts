import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { Flapping, renderTimeline } from "./upstream-stage.ts";

const MINUTE = 60_000;

describe("a control plane that comes and goes", () => {
  it("is not lost where every absence is shorter than reconnectMs", async () => {
    const flapping = await Flapping.begin();
    for (let i = 0; i < 100; i += 1) {
      await flapping.up(1_500);
      await flapping.down(1_500);
    }
    assert.deepEqual(flapping.stage.kinds, ["connecting", "live"]);
    await flapping.end();
    assert.equal(flapping.stage.clock.sleepers, 0);
  });

  it("every 20 s is lost once, until it stays", async () => {
    const flapping = await Flapping.begin();
    for (let i = 0; i < 90; i += 1) {
      await flapping.up(10_000);
      await flapping.down(10_000);
    }
    assert.equal(flapping.switches, 1);
    // Only the one whose turn it is comes to a control plane that will go again.
    const tries = flapping.arrivalsAtMs.flat().length - 20;
    assert.ok(tries <= 90, `${tries}`);
    const heldMs = await flapping.upUntilLive();
    assertHeld(heldMs, 30_000);
    await flapping.end();
    assert.equal(flapping.stage.clock.sleepers, 0);
  });

  it("every 60 s is trusted once more, and then no longer for an hour", async () => {
    const flapping = await Flapping.begin();
    for (let i = 0; i < 60; i += 1) {
      await flapping.up(45_000);
      await flapping.down(15_000);
    }
    flapping.hasStates([
      ["connecting", 0, 0],
      ["live", 0, 0],
      // It went at 45 s, and was given up 2 s later.
      ["fallback", 47_000, 47_500],
      // It came at 60 s, and had answered for 30 s.
      ["live", 90_000, 100_000],
      // It went at 105 s; nobody had been there to see it but who was moved at last.
      ["fallback", 105_000, 107_500],
    ]);
    assert.equal(flapping.render(30_000).split("\n")[1], `sidecar        =.${"".padEnd(118, ".")}`);
    await flapping.end();
  });

  it("killed in every hold stays lost, and the hold stays as it was", async () => {
    const flapping = await Flapping.begin();
    await flapping.down(10_000);
    for (let i = 0; i < 20; i += 1) {
      await flapping.up(25_000);
      await flapping.down(5_000);
    }
    assert.equal(flapping.switches, 1);
    const heldMs = await flapping.upUntilLive();
    assertHeld(heldMs, 30_000);
    await flapping.end();
  });

  it("lost as soon as it is trusted must stay twice as long each time, up to 5 minutes, and 30 s again after 10 quiet minutes", async () => {
    const flapping = await Flapping.begin();
    const heldMs: number[] = [];
    for (let i = 0; i < 7; i += 1) {
      await flapping.down(5_000);
      heldMs.push(await flapping.upUntilLive());
    }
    const holds = [30_000, 60_000, 120_000, 240_000, 300_000, 300_000, 300_000];
    for (const [i, holdMs] of holds.entries()) assertHeld(heldMs[i], holdMs);
    assert.equal(flapping.switches, 14);
    await flapping.up(10 * MINUTE);
    await flapping.down(5_000);
    const afterMs = await flapping.upUntilLive();
    assertHeld(afterMs, 30_000);
    await flapping.end();
  });
});

describe("a timeline", () => {
  it("shows what was in force at the end of each step", () => {
    const tracks = [
      {
        name: "control plane",
        changes: [
          { atMs: 0, sign: "#" },
          { atMs: 30_000, sign: "_" },
        ],
      },
      {
        name: "sidecar",
        changes: [
          { atMs: 10_000, sign: "=" },
          { atMs: 39_999, sign: "." },
        ],
      },
    ];
    assert.equal(
      renderTimeline(tracks, { stepMs: 10_000, untilMs: 115_000 }),
      "control plane  ###_________\nsidecar         ==.........\n               0:00      1:40\n".replace(
        ".........",
        ".........",
      ),
    );
  });
});

/** It takes up to 10 s until it is asked, and the test looks once a second. */
function assertHeld(heldMs: number | undefined, holdMs: number): void {
  assert.ok(heldMs !== undefined && heldMs >= holdMs && heldMs <= holdMs + 11_000, `${heldMs} ms`);
}
