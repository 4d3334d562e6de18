/** `kong-fallback demo`: the whole story on this machine, with the project's own parts and a config recorded from a real Kong. */

import { mkdir, mkdtemp, readFile, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ServiceError } from "../../core/errors.ts";
import type { Command } from "../context.ts";
import { exportCommand } from "../export.ts";
import { importCommand } from "../import.ts";
import { printJson } from "../output.ts";
import { serveCommand } from "../serve/serve.ts";
import { changedConfig, type DemoConfig, describeConfig, recordedConfig } from "./config.ts";
import { DemoControlPlane, DemoDataPlane } from "./planes.ts";
import {
  BrokenPromise,
  DemoLog,
  DemoReport,
  environmentFor,
  makeCertificate,
  promise,
  Stage,
} from "./stage.ts";

export const demoCommand: Command = async (context) => {
  const { stdout, json, clock } = context;
  const report = new DemoReport(json ? undefined : stdout, clock);
  const directory = await mkdtemp(join(tmpdir(), "kong-fallback-demo-"));
  const log = new DemoLog(join(directory, "demo.log"), clock);
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
  if (json) await printJson(stdout, summary, new AbortController().signal);
  report.say(
    status === 0
      ? `\nEvery promise held. Look around:\n  ${directory}\n    store/3.9.1/config.json   the backup: Kong's declarative configuration\n    data-plane/kong.json      what a new data plane imports\n    demo.log                  what exporter, importer and sidecar said`
      : `\nA promise was broken. ${join(directory, "demo.log")} has what exporter, importer and sidecar said.`,
  );
  return status;
};

/** A step after the other, each a promise that holds or ends the story. */
async function tell(stage: Stage, report: DemoReport): Promise<void> {
  const { clock } = stage.context;
  const first = await recordedConfig();
  const second = changedConfig(first, "added-later", clock.now());
  await mkdir(join(stage.directory, "data-plane"));
  const tls = await report.make("make a cluster certificate, as `kong hybrid gen_cert` does", () =>
    makeCertificate(stage),
  );
  const log = stage.logger("demo-control-plane");
  await using controlPlane = await report.make(
    "start a control plane that speaks Kong's protocol",
    async () => {
      const result = await DemoControlPlane.listen({ tls, port: 0, clock, log });
      result.publish(first);
      const detail = `127.0.0.1:${result.port}, with a config recorded from Kong ${first.version}: ${describeConfig(first)}`;
      return { result, detail };
    },
  );
  const { port } = controlPlane;
  await report.step(
    "export: the exporter connects as a data plane and saves the config",
    async () => {
      const saved = untilSaved(stage, first);
      const ended = stage.start("exporter", exportCommand, environmentFor(stage, port));
      await unlessEnded("exporter", ended, saved);
      return sameConfig("saved", stage.saved, first);
    },
  );
  await report.step(
    "import while the control plane lives: it wins, nothing is imported",
    async () => {
      const { report: answer } = await stage.run(importCommand, environmentFor(stage, port));
      promise(answer.outcome === "live", `the importer said ${answer.outcome}`);
      promise(!(await exists(stage.imported)), "the importer left a file");
      return "the importer was given its config";
    },
  );
  await report.step("change the config: the exporter saves it again", async () => {
    const saved = untilSaved(stage, second);
    controlPlane.publish(second);
    await saved;
    return sameConfig("saved", stage.saved, second);
  });
  await report.step("stop the control plane", async () => {
    await controlPlane[Symbol.asyncDispose]();
    return "a new data plane would now start empty and answer 404";
  });
  await report.step("import as a new data plane: it gets the newest config", async () => {
    const environment = environmentFor(stage, port);
    const { status, report: answer } = await stage.run(importCommand, environment);
    promise(status === 0 && answer.outcome === "imported", `the importer said ${answer.outcome}`);
    return sameConfig("imported", stage.imported, second);
  });
  await report.step("stop the exporter", async () => {
    const status = await stage.stop("exporter");
    promise(status === 143, `the exporter ended with ${status}`);
    promise((await readFile(stage.saved)).equals(second.configTable), "the backup was damaged");
    return "nothing was left unsaved, and the outage did not touch the backup";
  });
  const sidecarPort = await report.make(
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
      const line = await unlessEnded("sidecar", ended, listening);
      const result = Number(line["port"]);
      return { result, detail: `127.0.0.1:${result}, in place of the control plane` };
    },
  );
  await using dataPlane = await DemoDataPlane.create(stage, sidecarPort, second.version);
  await report.step("a new data plane connects to the sidecar: it is configured", async () => {
    const taken = stage.log.next(
      "the data plane's report",
      (line) => line["msg"] === "data plane configured from the snapshot",
    );
    const [line, { configTable }] = await Promise.all([taken, dataPlane.nextConfig()]);
    promise(second.configTable.equals(configTable), "it was served another config than was saved");
    promise(line["configHash"] === second.configHash, "it runs another config than it was served");
    return `it reported hash ${second.configHash} after ${line["durationMs"]} ms`;
  });
  const third = changedConfig(second, "added-last", clock.now());
  await report.step(
    "start the control plane again, with a newer config: the data plane is handed over",
    async () => {
      await using restarted = await DemoControlPlane.listen({ tls, port, clock, log });
      restarted.publish(third);
      const { configTable } = await dataPlane.nextConfig();
      promise(third.configTable.equals(configTable), "it got another config than the newest");
      const isSeen = restarted.dataPlanes.includes(dataPlane.nodeId);
      promise(isSeen, "the control plane does not see the data plane itself");
      return `on the connection it had; the control plane sees the data plane itself: ${describeConfig(third)}`;
    },
  );
  await report.step("stop the sidecar", async () => {
    const status = await stage.stop("sidecar");
    promise(status === 143, `the sidecar ended with ${status}`);
    return "the data plane keeps its config";
  });
}

function untilSaved(stage: Stage, { configHash }: DemoConfig): Promise<unknown> {
  return stage.log.next(
    "the export",
    (line) => line["msg"] === "snapshot saved" && line["configHash"] === configHash,
  );
}

/** As `expected`, unless the daemon ends first: that is an answer as well. */
async function unlessEnded<T>(
  name: string,
  ended: Promise<number>,
  expected: Promise<T>,
): Promise<T> {
  const unexpected = ended.then((status): never => {
    throw new BrokenPromise(`the ${name} ended with ${status}`);
  });
  return await Promise.race([expected, unexpected]);
}

/** What to tell of a file that holds this config, byte for byte. Rejects with BrokenPromise where it does not. */
async function sameConfig(what: string, path: string, config: DemoConfig): Promise<string> {
  const bytes = await readFile(path);
  promise(bytes.equals(config.configTable), `the ${what} config differs from the control plane's`);
  return `${bytes.length} bytes, equal to what the control plane sent: ${describeConfig(config)}`;
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
