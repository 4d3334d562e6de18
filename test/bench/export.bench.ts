/** The whole program: from the start of `export` to the config saved in a directory, and the memory that took. Build first. */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { bench, describe } from "vitest";
import { Run } from "../e2e/cli.ts";
import { Stage } from "../e2e/stage.ts";
import { FakeControlPlane } from "../fakes/control-plane.ts";
import { largeConfig, megabytes } from "./large-config.ts";

/** Most memory the process ever held, MB. Linux only. */
function peakOf(run: Run): number {
  const status = readFileSync(`/proc/${run.child.pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1000;
}

/** Resolves with the peak of memory, MB. */
async function exportOnce(frame: Uint8Array): Promise<number> {
  await using stage = await Stage.open();
  await using controlPlane = await FakeControlPlane.listen({ tls: stage.tls, config: frame });
  const run = new Run(["export"], stage.environment(controlPlane.address.port));
  await run.logged("snapshot saved");
  const peak = peakOf(run);
  run.signal("SIGTERM");
  await run.ended();
  return peak;
}

describe("from start to saved", () => {
  const few = { iterations: 3, time: 0, warmupIterations: 0, warmupTime: 0 };
  for (const pairs of [1, 10_000, 50_000]) {
    const { frame, config } = largeConfig(pairs);
    const peaks: number[] = [];
    bench(
      `export, ${megabytes(config)}`,
      async () => {
        peaks.push(await exportOnce(frame));
      },
      {
        ...few,
        teardown(_task, mode) {
          if (mode !== "run") return;
          process.stdout.write(
            `export, ${megabytes(config)}: peak memory ${Math.max(...peaks).toFixed(0)} MB\n`,
          );
        },
      },
    );
  }
  bench("floor: starting Node", () => void execFileSync(process.execPath, ["-e", "0"]), few);
});
