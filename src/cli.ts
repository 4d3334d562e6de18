#!/usr/bin/env node
/** The command line: argv and environment in, a command run, its error printed, its exit status given. */

import { hostname } from "node:os";
import { parseCommandLine } from "./commands/command-line.ts";
import { exitStatusOf, printError } from "./commands/failure.ts";
import { systemClock } from "./runtime/clock.ts";
import { leave } from "./runtime/leave.ts";
import { createLogger } from "./runtime/logger.ts";
import { doubtfulSettings, readSettings } from "./runtime/settings.ts";

async function main(): Promise<number> {
  const { env, stdout, stderr } = process;
  const line = parseCommandLine(process.argv.slice(2), env);
  if (line.kind === "print") {
    stdout.write(line.text);
    return 0;
  }
  const settings = readSettings(line.environment);
  const log = createLogger({ level: settings.logLevel, stream: stderr });
  for (const fault of doubtfulSettings(env)) log.warn({ fault }, "unknown setting, ignored");
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

// Node's own report would print what an error carries: requests with their headers, keys, bodies.
process.on("uncaughtException", (error) => {
  printError(error, process.stderr);
  process.exit(1);
});
let status: number;
try {
  status = await main();
} catch (error) {
  printError(error, process.stderr);
  status = exitStatusOf(error);
}
process.exitCode = status;
// A socket or timer that somebody forgot, or a call that hangs, must not keep a finished command alive: say which, then go.
setTimeout(() => {
  const open = process
    .getActiveResourcesInfo()
    .filter((name) => name !== "TTYWrap" && name !== "PipeWrap");
  process.stderr.write(
    `kong-fallback: still open 2 s after the end, leaving: ${open.join(", ")}\n`,
  );
  leave(status);
}, 2_000).unref();
