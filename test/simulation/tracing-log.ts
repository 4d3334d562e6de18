/** The log of one machine, in the trace of its world. */

import type { Log } from "../../src/core/log.ts";

/** What an exporter says when it replaces something that is not in the history. */
const UNKEPT = ["snapshot not kept in the history", "current snapshot is missing in the history"];

/** Counts in `saying` how often it said that a config is not in the history. */
export function tracingLog(
  name: string,
  note: (text: () => string) => void,
  saying: { failures: number },
): Log {
  const say = (level: string) => (fields: object, message: string) => {
    if (UNKEPT.some((beginning) => message.startsWith(beginning))) saying.failures += 1;
    note(() => {
      const code = "err" in fields ? ` ${String(fields.err)}` : "";
      return `${name}: ${level} ${message}${code}`;
    });
  };
  return { debug: () => {}, info: say("info"), warn: say("warn"), error: say("error") };
}
