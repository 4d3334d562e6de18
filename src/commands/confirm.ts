/** The last question before something is replaced: asked only where somebody is there to answer it. */

import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { until } from "../core/waiting.ts";
import { UsageError } from "./usage-error.ts";

export interface Terminal {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stderr: Writable & { readonly isTTY?: boolean };
}

/**
 * Resolves once `yes` was typed, and rejects with UsageError for any other answer, and where standard
 * input or error is no terminal. `what` is the action, such as `restore`. Rejects with `signal.reason`.
 */
export async function confirm(
  what: string,
  { stdin, stderr }: Terminal,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  if (!isTerminal({ stdin, stderr })) {
    throw new UsageError(
      `${what} asks before it replaces anything, but there is no terminal to ask on`,
      "Look at the difference first (kong-fallback snapshots diff), then give --yes.",
    );
  }
  stderr.write(`Type yes to ${what}: `);
  // Not as a terminal: that would take Ctrl-C for itself.
  const lines = createInterface({ input: stdin, terminal: false });
  const answer = await until<string>(signal, (resolve) => {
    lines.once("line", resolve);
    lines.once("close", () => resolve(""));
    return () => lines.close();
  });
  if (answer.trim().toLowerCase() === "yes") return;
  throw new UsageError(
    `${what} was not confirmed; nothing was changed`,
    "Type yes, or give --yes.",
  );
}

/** Whether `confirm` can ask. */
export function isTerminal({ stdin, stderr }: Terminal): boolean {
  return stdin.isTTY === true && stderr.isTTY === true;
}
