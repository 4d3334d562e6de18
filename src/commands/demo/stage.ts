/** What the acts of the demo share: a directory, a log, a certificate, and how to run a command of ours. */

import { EventEmitter } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { pathToFileURL } from "node:url";
import type { Logger } from "pino";
import { makeClusterCertificate } from "../../kong/cluster-certificate.ts";
import { type ClusterTls, loadClusterTls } from "../../kong/cluster-tls.ts";
import { createLogger } from "../../runtime/logger.ts";
import { readSettings } from "../../runtime/settings.ts";
import type { Command, CommandContext } from "../context.ts";
import type { DemoLog } from "./log.ts";

export class Stage implements AsyncDisposable {
  readonly directory: string;
  readonly log: DemoLog;
  readonly context: CommandContext;
  readonly #daemons = new Map<string, Daemon>();

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

  /** Writes to the demo's log. */
  logger(component: string): Logger {
    return createLogger({ level: "debug", stream: this.log }).child({ component });
  }

  /** Runs a command of ours as the environment would: its settings, its log, its exit status and JSON report. */
  async run(
    command: Command,
    environment: Record<string, string>,
    signals: EventEmitter = new EventEmitter(),
  ): Promise<Outcome> {
    const stdout = new PassThrough();
    const settings = readSettings(environment);
    const log = createLogger({ level: "debug", stream: this.log });
    const io = { settings, log, stdout, stderr: this.log, json: true, signals };
    const status = await command({ ...this.context, ...io });
    const text = String(stdout.read() ?? "");
    return { status, report: text === "" ? {} : (JSON.parse(text) as Outcome["report"]) };
  }

  /** Runs a daemon until it is stopped. Resolves to its exit status. */
  start(name: string, command: Command, environment: Record<string, string>): Promise<number> {
    const signals = new EventEmitter();
    const ended = this.run(command, environment, signals).then(({ status }) => status);
    this.#daemons.set(name, { signals, ended });
    return ended;
  }

  /** As by SIGTERM. Resolves to its exit status; undefined if it was not running. */
  async stop(name: string): Promise<number | undefined> {
    const daemon = this.#daemons.get(name);
    this.#daemons.delete(name);
    daemon?.signals.emit("SIGTERM", "SIGTERM");
    return daemon?.ended;
  }

  /** Stops what still runs. What a daemon ended with, its step has told. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([...this.#daemons.keys()].map((name) => this.stop(name)));
  }
}

interface Daemon {
  readonly signals: EventEmitter;
  readonly ended: Promise<number>;
}

export interface Outcome {
  readonly status: number;
  readonly report: { readonly outcome?: string; readonly result?: string };
}

export async function makeCertificate(
  stage: Stage,
): Promise<{ result: ClusterTls; detail: string }> {
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

/** For every command; `port` is the control plane's. */
export function environmentFor(stage: Stage, port: number): Record<string, string> {
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
