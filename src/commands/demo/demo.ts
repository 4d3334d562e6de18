/** `kong-fallback demo`: the whole story on this machine, with the project's own parts and a config recorded from a real Kong. */

import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ServiceError } from "../../core/errors.ts";
import type { Command } from "../context.ts";
import { exportAct, saveChange, stopExporter } from "./acts/export.ts";
import { importBootstraps, importLeavesLive } from "./acts/import.ts";
import { serveAct } from "./acts/serve.ts";
import { changedConfig, describeConfig, recordedConfig } from "./config.ts";
import { DemoControlPlane } from "./control-plane.ts";
import { DemoLog } from "./log.ts";
import { BrokenPromise, DemoReport } from "./report.ts";
import { makeCertificate, Stage } from "./stage.ts";

export const demoCommand: Command = async (context) => {
  const { stdout, json, clock } = context;
  const report = new DemoReport(json ? undefined : stdout, clock);
  const directory = await mkdtemp(join(tmpdir(), "kong-fallback-demo-"));
  const log = new DemoLog(join(directory, "demo.log"));
  let status = 0;
  try {
    report.say("kong-fallback demo: a control plane, its backup, its death, and new data planes\n");
    await using stage = new Stage(context, directory, log);
    await tell(stage, report);
  } catch (error) {
    // The step has said it. Whatever it was, a promise of the demo is broken.
    if (!(error instanceof BrokenPromise || error instanceof ServiceError)) throw error;
    status = 1;
  } finally {
    await new Promise<void>((resolve) => log.end(resolve));
  }
  const summary = { ok: status === 0, directory, steps: report.steps };
  if (json) stdout.write(`${JSON.stringify(summary)}\n`);
  report.say(
    status === 0
      ? `\nEvery promise held. Look around:\n  ${directory}\n    store/3.9.1/config.json   the backup: Kong's declarative configuration\n    data-plane/kong.json      what a new data plane imports\n    demo.log                  what exporter, importer and sidecar said`
      : `\nA promise was broken. ${join(directory, "demo.log")} has what exporter, importer and sidecar said.`,
  );
  return status;
};

async function tell(stage: Stage, report: DemoReport): Promise<void> {
  const { clock } = stage.context;
  const first = await recordedConfig();
  const second = changedConfig(first, "added-later", clock.now());
  await mkdir(join(stage.directory, "data-plane"));
  const tls = await report.step("make a cluster certificate, as `kong hybrid gen_cert` does", () =>
    makeCertificate(stage),
  );
  const log = stage.logger("demo-control-plane");
  await using controlPlane = await report.step(
    "start a control plane that speaks Kong's protocol",
    async () => {
      const result = await DemoControlPlane.listen({ tls, port: 0, clock, log });
      result.publish(first);
      return {
        result,
        detail: `127.0.0.1:${result.port}, with a config recorded from Kong ${first.version}: ${describeConfig(first)}`,
      };
    },
  );
  const { port } = controlPlane;
  await exportAct(stage, report, port, first);
  await importLeavesLive(stage, report, port);
  await saveChange(stage, report, controlPlane, second);
  await report.step("stop the control plane", async () => {
    await controlPlane[Symbol.asyncDispose]();
    return { result: undefined, detail: "a new data plane would now start empty and answer 404" };
  });
  await importBootstraps(stage, report, port, second);
  await stopExporter(stage, report, second);
  await serveAct(stage, report, { port, tls, saved: second, log });
}
