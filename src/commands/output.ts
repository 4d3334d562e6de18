/** What a command says: results on standard output, trouble in the log, how far it is on a terminal. */

import type { Writable } from "node:stream";
import type { Clock } from "../core/clock.ts";
import { StdoutTarget } from "../importer/targets/stdout.ts";
import type { CommandContext } from "./context.ts";

/** Resolves once the reader has taken all of it: the process may end when a command has, and a pipe may be slow. Rejects with TargetError where it does not. */
export async function print(
  output: Writable,
  text: string | Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  const config = typeof text === "string" ? Buffer.from(text) : text;
  await new StdoutTarget(output).apply({ config, metadata: undefined }, signal);
}

/** One line of JSON, for a machine. */
export function printJson(output: Writable, value: unknown, signal: AbortSignal): Promise<void> {
  return print(output, `${JSON.stringify(value)}\n`, signal);
}

/** For a command that answers a person, so that only trouble is worth a line: the same context with a log that leaves out `info`, unless `debug` was asked for. */
export function quietly(context: CommandContext, component: string): CommandContext {
  const { log } = context;
  const level = log.isLevelEnabled("debug") || !log.isLevelEnabled("warn") ? log.level : "warn";
  return { ...context, log: log.child({ component }, { level }) };
}

/** Transfers shorter than this show nothing. */
const SHOW_AFTER_MS = 1_000;
const REDRAW_MS = 100;
const MEBIBYTE = 2 ** 20;

export type Progress = (receivedBytes: number, totalBytes: number | undefined) => void;

/** How far a long transfer is, for a person on a terminal; nobody else gets to see it. One line that is drawn over itself, and ends when the transfer does. */
export function createProgress(
  stream: Writable & { readonly isTTY?: boolean },
  clock: Clock,
): Progress {
  if (stream.isTTY !== true) return () => {};
  let startedAt: number | undefined;
  let drawnAt = Number.NEGATIVE_INFINITY;
  return (receivedBytes, totalBytes) => {
    const now = clock.monotonicMs();
    startedAt ??= now;
    const isDone = receivedBytes === totalBytes;
    if (now - startedAt < SHOW_AFTER_MS || (now - drawnAt < REDRAW_MS && !isDone)) return;
    drawnAt = now;
    const size = (bytes: number) => (bytes / MEBIBYTE).toFixed(1);
    const text =
      totalBytes === undefined
        ? `${size(receivedBytes)} MiB read`
        : `${size(receivedBytes)} of ${size(totalBytes)} MiB read`;
    stream.write(`\r${text}${isDone ? "\n" : ""}`);
  };
}
