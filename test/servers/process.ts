/** Runs the real object stores that the store tests talk to: start, wait until ready, stop. */
import { type ChildProcess, execFile, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

export interface ServerFacts {
  readonly name: string;
  readonly version: string;
  readonly endpoint: string;
}

export interface S3Facts extends ServerFacts {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
}

export interface Running extends AsyncDisposable {
  /** Of the process that answers at `endpoint`; SIGSTOP or SIGKILL it to test outages. */
  readonly pid: number;
  /** Ends only what was started and removes its temp folder. Idempotent. */
  stop(): Promise<void>;
}

export type RealServer = ServerFacts & Running;

/** A running S3-compatible server with one account and no bucket. */
export type S3Server = S3Facts & Running;

/** How to start a server that keeps its objects in one folder. */
export interface FolderServerOptions {
  /** PEM texts; given, the endpoint is https. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** To restart on the port of an earlier run. */
  readonly port?: number;
  /** To restart on the data of an earlier run; given, `stop` leaves it in place. */
  readonly dataDir?: string;
}

/** Makes what such a server starts from, below `folder`: its data, and its certificate under the names it looks for. */
export async function layOut(
  folder: string,
  options: FolderServerOptions,
  names: { readonly cert: string; readonly key: string },
): Promise<{ readonly certs: string; readonly data: string }> {
  const certs = join(folder, "certs");
  await mkdir(certs);
  if (options.tls !== undefined) {
    await writeFile(join(certs, names.cert), options.tls.cert);
    await writeFile(join(certs, names.key), options.tls.key, { mode: 0o600 });
  }
  const data = options.dataDir ?? join(folder, "data");
  await mkdir(data, { recursive: true });
  return { certs, data };
}

export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Receives stdout and stderr, appended; its tail is part of the error when the start fails. */
  readonly logFile: string;
  /** Polled until true; a rejection counts as "not yet". Default: ready as soon as spawned. */
  readonly ready?: () => Promise<boolean>;
  /** Default 30 000. */
  readonly readyDeadlineMs?: number;
  /** Default SIGTERM. */
  readonly endSignal?: NodeJS.Signals;
}

/** A started process that dies with this one. */
export interface Daemon {
  readonly pid: number;
  /** Sends the end signal, after 5 s SIGKILL; resolves when the process is gone. Idempotent. */
  end(): Promise<void>;
}

const pollMs = 25;
const endDeadlineMs = 5_000;
const startAttempts = 3;
const setpriv = "/usr/bin/setpriv";

/**
 * Calls `start` with a new temp folder and a list for the processes it launches, the one that
 * answers at the endpoint last. Both go when the server is stopped, or when `start` fails.
 */
export async function startServer<Facts extends ServerFacts>(
  name: string,
  start: (folder: string, daemons: Daemon[]) => Promise<Facts>,
): Promise<Facts & Running> {
  const folder = await mkdtemp(join(tmpdir(), `kong-fallback-${name}-`));
  const daemons: Daemon[] = [];
  const stop = async () => {
    for (const daemon of daemons.toReversed()) await daemon.end();
    await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  };
  try {
    const facts = await start(folder, daemons);
    const pid = daemons.at(-1)?.pid;
    if (pid === undefined) throw new Error(`${name} launched nothing`);
    return { ...facts, pid, stop, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A port of 127.0.0.1 that was free a moment ago; rejects if the `wanted` one is taken. */
export async function freePort(wanted = 0): Promise<number> {
  const probe = createServer().listen(wanted, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  if (address === null || typeof address === "string") throw new Error("no port was assigned");
  return address.port;
}

/** Calls `start` with free ports until it succeeds; a given `port` is tried once, as it is. */
export async function onFreePort<T>(
  port: number | undefined,
  start: (port: number) => Promise<T>,
): Promise<T> {
  if (port !== undefined) return await start(await freePort(port));
  const failures: unknown[] = [];
  while (failures.length < startAttempts) {
    try {
      return await start(await freePort());
    } catch (error) {
      failures.push(error);
    }
  }
  throw new AggregateError(failures, `no start in ${startAttempts} attempts: ${failures.at(-1)}`);
}

export async function launch(plan: Launch): Promise<Daemon> {
  const log = await open(plan.logFile, "a");
  const options: SpawnOptions = {
    stdio: ["ignore", log.fd, log.fd],
    env: { ...process.env, ...plan.env },
  };
  // On Linux, setpriv has the kernel end the server even when the test run is SIGKILLed.
  const child = existsSync(setpriv)
    ? spawn(setpriv, ["--pdeathsig", "KILL", "--", plan.command, ...plan.args], options)
    : spawn(plan.command, plan.args, options);
  const killNow = () => child.kill("SIGKILL");
  process.once("exit", killNow);
  child.once("close", () => process.off("exit", killNow));
  // Listened to before anything else is awaited: the event comes on the next tick.
  await once(child, "spawn").finally(() => log.close());

  try {
    await untilReady(child, plan);
  } catch (error) {
    await end(child, "SIGKILL");
    const tail = (await readFile(plan.logFile, "utf8")).slice(-2_000);
    throw new Error(`${plan.command} did not become ready: ${error}\n${tail}`, { cause: error });
  }
  return { pid: Number(child.pid), end: () => end(child, plan.endSignal ?? "SIGTERM") };
}

/** Runs a command to its end and returns its stdout; rejects with its stderr on a failure. */
export async function run(command: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { timeout: 60_000 });
  return stdout;
}

/** The status that `url` answers with; certificates are not checked, this is no security test. */
export async function statusOf(url: string): Promise<number> {
  const request = url.startsWith("https:")
    ? httpsRequest(url, { rejectUnauthorized: false, agent: false, timeout: 2_000 })
    : httpRequest(url, { agent: false, timeout: 2_000 });
  const answer = new Promise<number>((resolve, reject) => {
    request.on("response", (response) => resolve(Number(response.resume().statusCode)));
    request.on("timeout", () => request.destroy(new Error(`${url} did not answer in 2 s`)));
    request.on("error", reject);
  });
  request.end();
  return await answer;
}

async function untilReady(child: ChildProcess, plan: Launch): Promise<void> {
  const deadlineMs = plan.readyDeadlineMs ?? 30_000;
  const startedAt = performance.now();
  // Twice in a row: on a port that was just taken, the first answer may be some other server's,
  // and ours gets the time to say so and exit.
  for (let answers = 0; plan.ready !== undefined && answers < 2; await delay(pollMs)) {
    if (hasEnded(child)) throw new Error(`it exited with ${child.exitCode ?? child.signalCode}`);
    if (performance.now() - startedAt > deadlineMs) throw new Error(`waited ${deadlineMs} ms`);
    answers = (await plan.ready().catch(() => false)) ? answers + 1 : 0;
  }
  if (hasEnded(child)) throw new Error(`it exited with ${child.exitCode ?? child.signalCode}`);
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (hasEnded(child)) return;
  const ended = once(child, "exit");
  child.kill(signal);
  const overdue = setTimeout(() => child.kill("SIGKILL"), endDeadlineMs);
  await ended;
  clearTimeout(overdue);
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
