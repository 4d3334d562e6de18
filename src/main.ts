/** The program: argv and environment in, a command run, its error printed, its exit status given. */

import { homedir, hostname } from "node:os";
import { parseCommandLine } from "./commands/command-line.ts";
import { exitStatusOf, printError } from "./commands/failure.ts";
import { print } from "./commands/output.ts";
import { exceptMetadata } from "./network/egress.ts";
import { systemClock } from "./runtime/clock.ts";
import { createLogger } from "./runtime/logger.ts";
import { doubtfulSettings, readSettings } from "./runtime/settings.ts";
import { insistOnShutdown } from "./runtime/shutdown.ts";

/** Until it has sorted out who heeds signals, they end the process at once; `takeOver` is called then. */
export async function main(takeOver: () => void): Promise<void> {
  // Node's own report would print what an error carries: requests with their headers, keys, bodies.
  process.on("uncaughtException", (error) => {
    printError(error, process.stderr);
    process.exit(1);
  });
  // A log that nobody takes (a full disk, a closed pipe) ends no job; who writes a result is told by `print`.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  let status: number;
  try {
    status = await run(takeOver);
  } catch (error) {
    printError(error, process.stderr);
    status = exitStatusOf(error);
  }
  process.exitCode = status;
  // A socket, timer or call that somebody forgot must not keep a finished command alive: say which, then go.
  setTimeout(() => {
    process.stderr.write(
      `kong-fallback: still open 2 s after the end, leaving: ${stillOpen().join(", ")}\n`,
    );
    leave(status);
  }, 2_000).unref();
}

async function run(takeOver: () => void): Promise<number> {
  const { env, stdout, stderr } = process;
  const line = parseCommandLine(process.argv.slice(2), env);
  if (line.kind === "print") {
    await print(stdout, line.text, new AbortController().signal);
    return 0;
  }
  const settings = readSettings(line.environment);
  keepMetadataLocal(env, settings.storeProxies.except);
  ensureHome(env);
  const log = createLogger({ level: settings.logLevel, stream: stderr });
  for (const fault of doubtfulSettings(env)) log.warn({ fault }, "unknown setting, ignored");
  insistOnShutdown(process, settings.shutdownTimeoutMs, (status, { message }) => {
    const open = stillOpen().join(", ");
    if (status === 1) stderr.write(`kong-fallback: ${message}, still open, leaving: ${open}\n`);
    leave(status);
  });
  takeOver();
  const command = await line.load(settings);
  return command({
    settings,
    log,
    stdout,
    stderr,
    json: line.json,
    signals: process,
    hostname: hostname(),
    clock: systemClock,
    random: Math.random,
  });
}

/** SDKs ask for credentials by themselves, and go by what the environment says. */
function keepMetadataLocal(env: NodeJS.ProcessEnv, given: string | undefined): void {
  const { GCE_METADATA_HOST: google = "" } = env;
  const except = exceptMetadata(given, [google.replace(/:\d+$/, "")]);
  env["no_proxy"] = except;
  env["NO_PROXY"] = except;
}

/** SDKs look for profiles at home, and fail where there is none: a user without an entry in /etc/passwd, as containers have them, and without HOME. */
function ensureHome(env: NodeJS.ProcessEnv): void {
  try {
    homedir();
  } catch {
    env["HOME"] = "/nonexistent";
  }
}

/** What keeps the process from ending, but for its own standard streams. */
function stillOpen(): readonly string[] {
  return process
    .getActiveResourcesInfo()
    .filter((name) => name !== "TTYWrap" && name !== "PipeWrap");
}

/** What Node does in threads: the file system, and the names of hosts. `process.exit` waits for it, if need be for ever. */
const IN_A_THREAD = /^(FSReq|FileHandle|GetAddrInfo|GetNameInfo)/;

/**
 * Ends the process now. Where a call to a dead file system or resolver is still open, it is replaced
 * by one that only ends with `status`: Node can do that since 22.15. An older Node leaves no way but a
 * signal, to which the first process of a container is deaf: that one aborts.
 */
function leave(status: number): never {
  if (!stillOpen().some((name) => IN_A_THREAD.test(name))) process.exit(status);
  const execve: unknown = Reflect.get(process, "execve");
  if (typeof execve === "function") {
    execve.call(process, process.execPath, [process.execPath, "-e", `process.exit(${status})`]);
  }
  const signal = SIGNALS[status] ?? "SIGKILL";
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  return process.abort();
}

/** By the exit status that a shell reports for them. */
const SIGNALS: Readonly<Record<number, NodeJS.Signals>> = { 130: "SIGINT", 143: "SIGTERM" };
