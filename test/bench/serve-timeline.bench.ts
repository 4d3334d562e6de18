/** What the sidecar makes of a control plane that comes and goes, drawn as text; the clock is wound by hand. */

import { once } from "node:events";
import { bench, describe } from "vitest";
import { ServiceError } from "../../src/core/errors.ts";
import { seededRandom } from "../fakes/seeded-random.ts";
import { type Change, renderTimeline, UpstreamStage } from "../sidecar/live/upstream-stage.ts";

/** As `settings/table.ts` has them by default. */
const TIMING = { retryMs: 5_000, reconnectMs: 10_000, recoveryMs: 10_000, releaseMs: 30_000 };
/** A sign of the drawing; a minute has ten. */
const STEP_MS = 6_000;
const PLANES = 9;
const SIGNS = { connecting: "?", live: "=", fallback: "." } as const;

/** `#`: the control plane is up for a step, `_`: it is down. */
const SCRIPT = [
  "#####_###_###_###",
  "___##___##___##___##___##___##",
  "#############",
  "___##############",
  "__________##############",
].join("");

async function draw(): Promise<string> {
  const stage = await UpstreamStage.live({ timing: TIMING, random: seededRandom(7) });
  const { clock, upstream, dialer } = stage;
  const over = new AbortController();
  for (let plane = 0; plane < PLANES; plane += 1) live(stage, over.signal).catch(() => {});
  const controlPlane: Change[] = [];
  const sidecar: Change[] = [];
  const planes: Change[] = [];
  for (const sign of SCRIPT) {
    const atMs = clock.monotonicMs();
    if (sign === "#") dialer.up();
    else if (dialer.meets === "success") await dialer.down();
    await clock.advance(STEP_MS);
    controlPlane.push({ atMs, sign });
    sidecar.push({ atMs, sign: SIGNS[upstream.state.kind] });
    planes.push({ atMs, sign: `${dialer.open.length}` });
  }
  over.abort();
  await stage.end();
  return renderTimeline(
    [
      { name: "control plane", changes: controlPlane },
      { name: "sidecar", changes: sidecar },
      { name: `relayed, of ${PLANES}`, changes: planes },
    ],
    { stepMs: STEP_MS, untilMs: SCRIPT.length * STEP_MS },
  );
}

/** A data plane with a config, which always runs it: what it does with its connection to the control plane. */
async function live(stage: UpstreamStage, signal: AbortSignal): Promise<never> {
  const { upstream, clock } = stage;
  let brokeAtMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    try {
      const connection = await stage.dial();
      upstream.delivered(connection);
      await once(connection.webSocket, "close", { signal });
      brokeAtMs = clock.monotonicMs();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ServiceError)) throw error;
      const isFresh = clock.monotonicMs() - brokeAtMs < TIMING.reconnectMs;
      if (isFresh && upstream.state.kind !== "fallback") {
        await clock.sleep(2_000, signal);
      } else {
        upstream.lost(error);
        await upstream.turn(signal);
      }
    }
  }
}

describe("a flapping control plane", () => {
  let drawing = "";
  bench(
    `ten minutes of it, ${PLANES} data planes`,
    async () => {
      drawing = await draw();
    },
    {
      iterations: 1,
      time: 0,
      warmupIterations: 0,
      warmupTime: 0,
      teardown(_task, mode) {
        if (mode === "run") process.stdout.write(drawing);
      },
    },
  );
});
