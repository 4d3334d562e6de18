/** What the steps of the demo share: a directory, a log, a certificate, how to run a command of ours, and how it is told what came of it. */

import { EventEmitter } from "node:events";
import { appendFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { pathToFileURL } from "node:url";
import type { Logger } from "pino";
import type { Clock } from "../../core/clock.ts";
import { describeCause } from "../../core/errors.ts";
import { Scope, until, within } from "../../core/waiting.ts";
import { makeClusterCertificate } from "../../kong/cluster-certificate.ts";
import { type ClusterTls, loadClusterTls } from "../../kong/cluster-tls.ts";
import { createLogger } from "../../runtime/logger.ts";
import { readSettings } from "../../runtime/settings.ts";
import type { Command, CommandContext } from "../context.ts";
import { wrap } from "../text.ts";

/** Longest wait for anything the demo expects, milliseconds. */
export const PATIENCE_MS = 10_000;

/** Something the demo promised did not happen. */
export class BrokenPromise extends Error {
  override readonly name = "BrokenPromise";
}

export function promise(holds: boolean, what: string): asserts holds {
  if (!holds) throw new BrokenPromise(what);
}

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
    KONG_FALLBACK_PROBE_TIMEOUT: "10",
    KONG_FALLBACK_STATE_DIR: join(stage.directory, "state"),
    KONG_FALLBACK_STATUS_LISTEN: "off",
  };
}

/** What the demo tells: one line for each step, with its time, and whether the promise held. */
export class DemoReport {
  readonly steps: Step[] = [];
  readonly #out: Writable | undefined;
  readonly #clock: Clock;

  /** `out` undefined: nothing is printed, only kept. */
  constructor(out: Writable | undefined, clock: Clock) {
    this.#out = out;
    this.#clock = clock;
  }

  say(text: string): void {
    this.#out?.write(`${text}\n`);
  }

  /** Runs one step; `run` gives what was seen. Rejects as `run` does, after saying so. */
  async step(name: string, run: () => Promise<string>): Promise<void> {
    await this.make(name, async () => ({ result: undefined, detail: await run() }));
  }

  /** As `step`, for one of which something is left. */
  async make<T>(
    name: string,
    run: () => Promise<{ readonly result: T; readonly detail: string }>,
  ): Promise<T> {
    const startedAt = this.#clock.monotonicMs();
    const done = (ok: boolean, detail: string) => {
      const durationMs = Math.round(this.#clock.monotonicMs() - startedAt);
      this.steps.push({ step: name, ok, durationMs, detail });
      const time = `${(durationMs / 1000).toFixed(2).padStart(6)} s`;
      this.say(`${ok ? "ok    " : "FAILED"}${time}  ${name}\n${wrap(detail, INDENT)}`);
    };
    try {
      const { result, detail } = await run();
      done(true, detail);
      return result;
    } catch (error) {
      done(false, describeCause(error));
      throw error;
    }
  }
}

interface Step {
  readonly step: string;
  readonly ok: boolean;
  readonly durationMs: number;
  /** What was seen, or what was wrong. */
  readonly detail: string;
}

/** As wide as result and time. */
const INDENT = " ".repeat(16);

type Line = Readonly<Record<string, unknown>>;

/** Kept in a file to look at, and watched for what the demo waits for. */
export class DemoLog extends Writable {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #watchers = new Set<(line: Line) => void>();

  constructor(path: string, clock: Clock) {
    super({ decodeStrings: false });
    this.#path = path;
    this.#clock = clock;
  }

  /** Resolves with the next line, from now on, that `matches`. Rejects with BrokenPromise if none comes. */
  async next(what: string, matches: (line: Line) => boolean): Promise<Line> {
    const late = () => new BrokenPromise(`${what} did not happen within ${PATIENCE_MS / 1000} s`);
    const deadline = { ms: PATIENCE_MS, clock: this.#clock, late };
    using waiting = new Scope();
    return await within(deadline, waiting.signal, (signal) =>
      until<Line>(signal, (resolve) => {
        const watch = (line: Line) => {
          if (matches(line)) resolve(line);
        };
        this.#watchers.add(watch);
        return () => this.#watchers.delete(watch);
      }),
    );
  }

  override _write(
    chunk: string | Buffer,
    _: BufferEncoding,
    done: (error?: Error | null) => void,
  ): void {
    const text = chunk.toString();
    for (const line of text.split("\n")) {
      if (!line.startsWith("{")) continue;
      const fields = JSON.parse(line) as Line;
      for (const watch of [...this.#watchers]) watch(fields);
    }
    try {
      appendFileSync(this.#path, text, { mode: 0o600 });
      done();
    } catch {
      // A full disk breaks a promise of the demo elsewhere, where it can be told.
      done();
    }
  }
}
