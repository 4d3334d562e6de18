/** The acts in which the exporter saves what the control plane has. */

import { readFile } from "node:fs/promises";
import { exportCommand } from "../../export.ts";
import { type DemoConfig, describeConfig } from "../config.ts";
import type { DemoControlPlane } from "../control-plane.ts";
import { type DemoReport, promise } from "../report.ts";
import { environmentFor, type Stage } from "../stage.ts";

export async function exportAct(
  stage: Stage,
  report: DemoReport,
  port: number,
  config: DemoConfig,
): Promise<void> {
  await report.step(
    "export: the exporter connects as a data plane and saves the config",
    async () => {
      const saved = untilSaved(stage, config);
      const exporting = stage.start("exporter", exportCommand, environmentFor(stage, port));
      // An exporter that ends is an answer as well.
      await Promise.race([
        saved,
        exporting.then((status) => promise(false, `the exporter ended with ${status}`)),
      ]);
      return { result: undefined, detail: await checkSaved(stage, config) };
    },
  );
}

export async function saveChange(
  stage: Stage,
  report: DemoReport,
  controlPlane: DemoControlPlane,
  config: DemoConfig,
): Promise<void> {
  await report.step("change the config: the exporter saves it again", async () => {
    const saved = untilSaved(stage, config);
    controlPlane.publish(config);
    await saved;
    return { result: undefined, detail: await checkSaved(stage, config) };
  });
}

export async function stopExporter(
  stage: Stage,
  report: DemoReport,
  config: DemoConfig,
): Promise<void> {
  await report.step("stop the exporter", async () => {
    const status = await stage.stop("exporter");
    promise(status === 143, `the exporter ended with ${status}`);
    promise((await readFile(stage.saved)).equals(config.configTable), "the backup was damaged");
    return {
      result: undefined,
      detail: "nothing was left unsaved, and the outage did not touch the backup",
    };
  });
}

function untilSaved(stage: Stage, { configHash }: DemoConfig): Promise<unknown> {
  return stage.log.next(
    "the export",
    (line) => line["msg"] === "snapshot saved" && line["configHash"] === configHash,
  );
}

async function checkSaved(stage: Stage, config: DemoConfig): Promise<string> {
  const bytes = await readFile(stage.saved);
  promise(bytes.equals(config.configTable), "the saved config differs from the control plane's");
  return `${bytes.length} bytes, equal to what the control plane sent: ${describeConfig(config)}`;
}
