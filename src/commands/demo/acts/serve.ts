/** The act in which a data plane connects to a sidecar while the control plane is dead, and is handed over when it is back. */

import type { Log } from "../../../core/log.ts";
import type { ClusterTls } from "../../../kong/cluster-tls.ts";
import { serveCommand } from "../../serve/serve.ts";
import { changedConfig, type DemoConfig, describeConfig } from "../config.ts";
import { DemoControlPlane } from "../control-plane.ts";
import { DemoDataPlane } from "../data-plane.ts";
import { type DemoReport, promise } from "../report.ts";
import { environmentFor, type Stage } from "../stage.ts";

export interface ServeActOptions {
  /** Where the control plane was, and will be again. */
  readonly port: number;
  readonly tls: ClusterTls;
  /** The newest config saved. */
  readonly saved: DemoConfig;
  readonly log: Log;
}

export async function serveAct(
  stage: Stage,
  report: DemoReport,
  { port, tls, saved, log }: ServeActOptions,
): Promise<void> {
  const { clock } = stage.context;
  const sidecarPort = await report.step(
    "serve: start a sidecar, with only the store to go by",
    async () => {
      const listening = stage.log.next(
        "the sidecar",
        (line) => line["msg"] === "fallback control plane listens",
      );
      const ended = stage.start("sidecar", serveCommand, {
        ...environmentFor(stage, port),
        KONG_FALLBACK_LISTEN: "127.0.0.1:0",
        // Patience is for real outages.
        KONG_FALLBACK_RETRY_TIME: "0.1",
        KONG_FALLBACK_RECOVERY_TIME: "0.1",
        KONG_FALLBACK_RELEASE_TIME: "0.1",
      });
      const line = await Promise.race([
        listening,
        ended.then((status) => promise(false, `the sidecar ended with ${status}`)),
      ]);
      const result = Number(line?.["port"]);
      return { result, detail: `127.0.0.1:${result}, in place of the control plane` };
    },
  );
  await using dataPlane = await DemoDataPlane.create(stage, sidecarPort, saved.version);
  await report.step("a new data plane connects to the sidecar: it is configured", async () => {
    const took = stage.log.next(
      "the data plane's report",
      (line) => line["msg"] === "data plane configured from the snapshot",
    );
    const { configTable } = await dataPlane.nextConfig();
    promise(saved.configTable.equals(configTable), "it was served another config than was saved");
    const line = await took;
    promise(line["configHash"] === saved.configHash, "it runs another config than it was served");
    return {
      result: undefined,
      detail: `it reported hash ${saved.configHash} after ${line["durationMs"]} ms`,
    };
  });
  const third = changedConfig(saved, "added-last", clock.now());
  await report.step(
    "start the control plane again, with a newer config: the data plane is handed over",
    async () => {
      await using controlPlane = await DemoControlPlane.listen({ tls, port, clock, log });
      controlPlane.publish(third);
      const { configTable } = await dataPlane.nextConfig();
      promise(third.configTable.equals(configTable), "it got another config than the newest");
      promise(
        controlPlane.dataPlanes.includes(dataPlane.nodeId),
        "the control plane does not see the data plane itself",
      );
      return {
        result: undefined,
        detail: `on the connection it had; the control plane sees the data plane itself: ${describeConfig(third)}`,
      };
    },
  );
  await report.step("stop the sidecar", async () => {
    const status = await stage.stop("sidecar");
    promise(status === 143, `the sidecar ended with ${status}`);
    return { result: undefined, detail: "the data plane keeps its config" };
  });
}
