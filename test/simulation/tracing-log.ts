/** The log of one machine, in the trace of its world. */

import type { Log } from "../../src/core/log.ts";

/** What an exporter says when it replaces something that is not in the history. */
const UNKEPT = ["snapshot not kept in the history", "current snapshot is missing from the history"];

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

/** The same for two lives of one seed: campaigns make up ids that chance has no part in. */
export function withoutIds(text: string): string {
  return text.replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "<uuid>");
}
