/** Results on standard output, waited for: the process may end when a command has, and a pipe may be slow. */

import type { Writable } from "node:stream";
import { StdoutTarget } from "../importer/targets/stdout.ts";

/** Resolves once the reader has taken all of it. Rejects with TargetError where it does not. */
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
