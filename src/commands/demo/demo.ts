/** `kong-fallback demo`: the whole story on this machine, with the project's own parts and a config recorded from a real Kong. */

import { EventEmitter } from "node:events";
import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { pathToFileURL } from "node:url";
import { ServiceError } from "../../core/errors.ts";
import { makeClusterCertificate } from "../../kong/cluster-certificate.ts";
import { type ClusterTls, loadClusterTls } from "../../kong/cluster-tls.ts";
import { createLogger } from "../../runtime/logger.ts";
import { readSettings } from "../../runtime/settings.ts";
import { FallbackControlPlane } from "../../sidecar/control-plane.ts";
import type { Command, CommandContext } from "../context.ts";
import { exportCommand } from "../export.ts";
import { importCommand } from "../import.ts";
import { changedConfig, type DemoConfig, recordedConfig } from "./config.ts";
import { DemoLog } from "./log.ts";
import { BrokenPromise, DemoReport, promise } from "./report.ts";

export const demoCommand: Command = async (context) => {
  const { stdout, json, clock } = context;
  const report = new DemoReport(json ? undefined : stdout, clock);
  const directory = await mkdtemp(join(tmpdir(), "kong-fallback-demo-"));
  const log = new DemoLog(join(directory, "demo.log"));
  let status = 0;
  try {
    report.say(
      "kong-fallback demo: a control plane, its backup, its death, and a new data plane\n",
    );
    await tell(new Stage(context, directory, log), report);
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
      ? `\nEvery promise held. Look around:\n  ${directory}\n    store/3.9.1/config.json   the backup: Kong's declarative configuration\n    data-plane/kong.json      what the new data plane starts with\n    demo.log                  what exporter and importer said`
      : `\nA promise was broken. ${join(directory, "demo.log")} has what exporter and importer said.`,
  );
  return status;
};

/** What the acts share. */
class Stage {
  readonly directory: string;
  readonly log: DemoLog;
  readonly context: CommandContext;
  /** Exporter and importer are told to stop here, as by SIGTERM. */
  readonly signals = new EventEmitter();

  constructor(context: CommandContext, directory: string, log: DemoLog) {
    this.context = context;
    this.directory = directory;
    this.log = log;
  }

  get saved(): string {
    return join(this.directory, "store", "3.9.1", "config.json");
  }

  get imported(): string {
    return join(this.directory, "data-plane", "kong.json");
  }

  /** Runs a command of ours as the environment would: its settings, its log, its exit status and JSON report. */
  async run(command: Command, environment: Record<string, string>): Promise<Outcome> {
    const stdout = new PassThrough();
    const settings = readSettings(environment);
    const log = createLogger({ level: "debug", stream: this.log });
    const io = { settings, log, stdout, stderr: this.log, json: true, signals: this.signals };
    const status = await command({ ...this.context, ...io });
    const text = String(stdout.read() ?? "");
    return { status, report: text === "" ? {} : (JSON.parse(text) as Outcome["report"]) };
  }
}

interface Outcome {
  readonly status: number;
  readonly report: { readonly outcome?: string; readonly result?: string };
}

async function tell(stage: Stage, report: DemoReport): Promise<void> {
  const { clock } = stage.context;
  const first = await recordedConfig();
  const second = changedConfig(first, clock.now());

  await mkdir(join(stage.directory, "data-plane"));
  const certificate = await report.step(
    "make a cluster certificate, as `kong hybrid gen_cert` does",
    () => makeCertificate(stage),
  );
  const controlPlane = await report.step(
    "start a control plane that speaks Kong's protocol",
    async () => {
      const result = await FallbackControlPlane.listen({
        host: "127.0.0.1",
        port: 0,
        tls: certificate,
        clock,
      });
      result.publish(first.frame);
      return {
        result,
        detail: `127.0.0.1:${result.port}, with a config recorded from Kong 3.9.1: ${counts(first)}`,
      };
    },
  );
  const environment = environmentFor(stage, controlPlane.port);

  let exporting: Promise<Outcome> | undefined;
  try {
    await report.step(
      "export: the exporter connects as a data plane and saves the config",
      async () => {
        const saved = untilSaved(stage, first);
        exporting = stage.run(exportCommand, environment);
        // An exporter that ends is an answer as well.
        await Promise.race([
          saved,
          exporting.then(({ status }) => promise(false, `the exporter ended with ${status}`)),
        ]);
        return { result: undefined, detail: await checkSaved(stage, first) };
      },
    );
    await report.step(
      "import while the control plane lives: it wins, nothing is imported",
      async () => {
        const { report: answer } = await stage.run(importCommand, environment);
        promise(answer.outcome === "live", `the importer said ${answer.outcome}`);
        promise(!(await exists(stage.imported)), "the importer left a file");
        return { result: undefined, detail: "the importer completed a handshake with it" };
      },
    );
    await report.step("change the config: the exporter saves it again", async () => {
      const saved = untilSaved(stage, second);
      controlPlane.publish(second.frame);
      await saved;
      return { result: undefined, detail: await checkSaved(stage, second) };
    });
    await report.step("stop the control plane", async () => {
      await controlPlane[Symbol.asyncDispose]();
      return { result: undefined, detail: "a new data plane would now start empty and answer 404" };
    });
    await report.step("import as a new data plane: it gets the newest config", async () => {
      const { status, report: answer } = await stage.run(importCommand, environment);
      promise(status === 0 && answer.outcome === "imported", `the importer said ${answer.outcome}`);
      const bytes = await readFile(stage.imported);
      promise(
        bytes.equals(second.configTable),
        "the imported config differs from the control plane's",
      );
      return {
        result: undefined,
        detail: `${bytes.length} bytes, equal to what the control plane sent: ${counts(second)}`,
      };
    });
    await report.step("stop the exporter", async () => {
      stage.signals.emit("SIGTERM", "SIGTERM");
      const status = (await exporting)?.status;
      promise(status === 143, `the exporter ended with ${status}`);
      promise((await readFile(stage.saved)).equals(second.configTable), "the backup was damaged");
      return {
        result: undefined,
        detail: "nothing was left unsaved, and the outage did not touch the backup",
      };
    });
  } finally {
    stage.signals.emit("SIGTERM", "SIGTERM");
    await controlPlane[Symbol.asyncDispose]();
    await exporting;
  }
}

async function makeCertificate(stage: Stage): Promise<{ result: ClusterTls; detail: string }> {
  const { cert, key } = await makeClusterCertificate(stage.context.clock.now());
  const path = join(stage.directory, "cluster.crt");
  await writeFile(path, cert);
  await writeFile(join(stage.directory, "cluster.key"), key.reveal(), { mode: 0o600 });
  const result = await loadClusterTls({
    cert: path,
    key,
    ca: undefined,
    mtls: "shared",
    serverName: undefined,
    controlPlaneHost: "127.0.0.1",
  });
  return { result, detail: path };
}

function environmentFor(stage: Stage, port: number): Record<string, string> {
  return {
    KONG_CLUSTER_CONTROL_PLANE: `127.0.0.1:${port}`,
    KONG_CLUSTER_CERT: join(stage.directory, "cluster.crt"),
    KONG_CLUSTER_CERT_KEY: join(stage.directory, "cluster.key"),
    KONG_VERSION: "3.9.1",
    KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: pathToFileURL(join(stage.directory, "store")).href,
    KONG_CLUSTER_FALLBACK_CONFIG_EXPORT_DELAY: "0",
    KONG_FALLBACK_IMPORT_TO: pathToFileURL(stage.imported).href,
    KONG_FALLBACK_PROBE_TIMEOUT: "1",
    KONG_FALLBACK_STATE_DIR: join(stage.directory, "state"),
    KONG_FALLBACK_STATUS_LISTEN: "off",
  };
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
  return `${bytes.length} bytes, equal to what the control plane sent: ${counts(config)}`;
}

function counts({ services, routes, configHash }: DemoConfig): string {
  return `${services} services, ${routes} routes, Kong's hash ${configHash}`;
}

async function exists(path: string): Promise<boolean> {
  return readFile(path).then(
    () => true,
    () => false,
  );
}
