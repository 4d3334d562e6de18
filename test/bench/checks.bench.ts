/** What the static checks and adapting cost, beside parsing the same config, and how long others wait meanwhile. */

import { monitorEventLoopDelay } from "node:perf_hooks";
import { bench, describe } from "vitest";
import { adaptConfig } from "../../src/kong/adapt/adapt-config.ts";
import { checkConfig, checkConfigInTurns } from "../../src/kong/checks/check-config.ts";
import { V391 } from "../fakes/config.ts";
import { largeConfig, megabytes } from "./large-config.ts";

const FEW = { iterations: 5, time: 0, warmupIterations: 1, warmupTime: 0 };
const TARGET = { kongVersion: V391, plugins: [] };

for (const pairs of [10_000, 50_000]) {
  const { config } = largeConfig(pairs);
  describe(`checking ${megabytes(config)}`, () => {
    const delay = monitorEventLoopDelay({ resolution: 1 });
    bench("checkConfig", () => void checkConfig(config, V391), FEW);
    bench(
      "checkConfigInTurns, as export does",
      async () => void (await checkConfigInTurns(config, V391)),
      {
        ...FEW,
        setup: (_task, mode) => void (mode === "run" && delay.enable()),
        teardown(_task, mode) {
          if (mode !== "run") return;
          delay.disable();
          const longestMs = (delay.max / 1e6).toFixed(0);
          process.stdout.write(
            `checking ${megabytes(config)}: others wait ${longestMs} ms at most\n`,
          );
        },
      },
    );
    bench("peer: JSON.parse", () => void JSON.parse(config.toString("utf8")), FEW);
  });

  const enterprise = withWorkspaces(config);
  describe(`adapting ${megabytes(enterprise)}`, () => {
    bench("adaptConfig: nothing to take out", () => void adaptConfig(config, TARGET), FEW);
    bench("adaptConfig: a field of every entity", () => void adaptConfig(enterprise, TARGET), FEW);
    bench(
      "peer: JSON.parse and JSON.stringify, which may change bytes",
      () => void Buffer.from(JSON.stringify(JSON.parse(enterprise.toString("utf8")))),
      FEW,
    );
  });
}

/** As Enterprise sends it. */
function withWorkspaces(config: Buffer): Buffer {
  const mark = `"ws_id":"00000000-0000-4000-8000-000000000000","id":`;
  return Buffer.from(config.toString("utf8").replaceAll('"id":', mark));
}
