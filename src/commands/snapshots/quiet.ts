/** The log of a command that answers a person: a result stands on standard output, so only trouble is worth a line. */

import type { CommandContext } from "../context.ts";

/** The same context with a log that leaves out `info`, unless `debug` was asked for. */
export function quietly(context: CommandContext, component: string): CommandContext {
  const { log } = context;
  const level = log.isLevelEnabled("debug") || !log.isLevelEnabled("warn") ? log.level : "warn";
  return { ...context, log: log.child({ component }, { level }) };
}
