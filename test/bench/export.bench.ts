/** The whole program: from the start of `export` to the config saved in a directory, and the memory that took. Build first. */

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { bench, describe } from "vitest";
import { Run } from "../e2e/cli.ts";
import { Stage } from "../e2e/stage.ts";
import { FakeControlPlane } from "../fakes/control-plane.ts";
import { FakeKongAdmin } from "../fakes/kong-admin.ts";
import { roles } from "../fakes/seals.ts";
import { largeConfig, megabytes } from "./large-config.ts";

/** Most memory the process ever held, MB. Linux only. */
function peakOf(run: Run): number {
  const status = readFileSync(`/proc/${run.child.pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1000;
}

type Extent = "everything off" | "default" | "everything on";

const { pem, age } = await roles();

/** `kong`: to rehearse with. */
function settingsOf(extent: Extent, kong: FakeKongAdmin): Readonly<Record<string, string>> {
  switch (extent) {
    case "everything off":
      return { KONG_FALLBACK_CHECKS: "off", KONG_FALLBACK_GUARD: "off" };
    case "default":
      return {};
    case "everything on":
      return {
        KONG_FALLBACK_SIGNING_KEY: pem.private,
        KONG_FALLBACK_AGE_RECIPIENTS: age.recipient,
        KONG_FALLBACK_REHEARSAL_URL: kong.url,
      };
    default:
      return extent satisfies never;
  }
}

/** Resolves with the peak of memory, MB. */
async function exportOnce(frame: Uint8Array, extent: Extent): Promise<number> {
  await using stage = await Stage.open();
  await using controlPlane = await FakeControlPlane.listen({ tls: stage.tls, config: frame });
  await using kong = await FakeKongAdmin.start();
  kong.hasReadiness = true;
  kong.maxBodyBytes = 2 ** 28;
  const { port } = controlPlane.address;
  const run = new Run(["export"], stage.environment(port, settingsOf(extent, kong)));
  await run.logged("snapshot saved");
  const peak = peakOf(run);
  run.signal("SIGTERM");
  await run.ended();
  return peak;
}

const FEW = { iterations: 3, time: 0, warmupIterations: 0, warmupTime: 0 };

for (const pairs of [1, 10_000, 50_000]) {
  const { frame, config } = largeConfig(pairs);
  describe(`export from start to saved, ${megabytes(config)}`, () => {
    for (const extent of ["everything off", "default", "everything on"] as const) {
      const peaks: number[] = [];
      bench(
        extent,
        async () => {
          peaks.push(await exportOnce(frame, extent));
        },
        {
          ...FEW,
          teardown(_task, mode) {
            if (mode !== "run") return;
            const peak = Math.max(...peaks).toFixed(0);
            process.stdout.write(
              `export, ${megabytes(config)}, ${extent}: peak memory ${peak} MB\n`,
            );
          },
        },
      );
    }
    bench("floor: starting Node", () => void execFileSync(process.execPath, ["-e", "0"]), FEW);
  });
}
