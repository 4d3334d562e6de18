/** The acts in which the importer leaves a live control plane its due, and bootstraps a data plane without one. */

import { readFile } from "node:fs/promises";
import { importCommand } from "../../import.ts";
import { type DemoConfig, describeConfig } from "../config.ts";
import { type DemoReport, promise } from "../report.ts";
import { environmentFor, type Stage } from "../stage.ts";

export async function importLeavesLive(
  stage: Stage,
  report: DemoReport,
  port: number,
): Promise<void> {
  await report.step(
    "import while the control plane lives: it wins, nothing is imported",
    async () => {
      const { report: answer } = await stage.run(importCommand, environmentFor(stage, port));
      promise(answer.outcome === "live", `the importer said ${answer.outcome}`);
      promise(!(await exists(stage.imported)), "the importer left a file");
      return { result: undefined, detail: "the importer completed a handshake with it" };
    },
  );
}

export async function importBootstraps(
  stage: Stage,
  report: DemoReport,
  port: number,
  config: DemoConfig,
): Promise<void> {
  await report.step("import as a new data plane: it gets the newest config", async () => {
    const environment = environmentFor(stage, port);
    const { status, report: answer } = await stage.run(importCommand, environment);
    promise(status === 0 && answer.outcome === "imported", `the importer said ${answer.outcome}`);
    const bytes = await readFile(stage.imported);
    promise(
      bytes.equals(config.configTable),
      "the imported config differs from the control plane's",
    );
    return {
      result: undefined,
      detail: `${bytes.length} bytes, equal to what the control plane sent: ${describeConfig(config)}`,
    };
  });
}

async function exists(path: string): Promise<boolean> {
  return readFile(path).then(
    () => true,
    () => false,
  );
}
