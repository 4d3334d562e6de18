/** The last question before something is replaced: asked only where a person is there to answer. */

import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
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
      `${what} asks before it replaces anything, and there is no terminal to ask on`,
      "Look at the difference first (kong-fallback snapshots diff), then give --yes.",
    );
  }
  stderr.write(`Type yes to ${what}: `);
  // Not as a terminal: that would take Ctrl-C for itself.
  const lines = createInterface({ input: stdin, terminal: false });
  let stop = (): void => {};
  try {
    const answer = await new Promise<string>((resolve, reject) => {
      stop = () => reject(signal.reason);
      signal.addEventListener("abort", stop, { once: true });
      lines.once("line", resolve);
      lines.once("close", () => resolve(""));
    });
    if (answer.trim().toLowerCase() === "yes") return;
  } finally {
    signal.removeEventListener("abort", stop);
    lines.close();
  }
  throw new UsageError(
    `${what} was not confirmed, nothing was changed`,
    "Type yes, or give --yes.",
  );
}

/** Whether `confirm` can ask. */
export function isTerminal({ stdin, stderr }: Terminal): boolean {
  return stdin.isTTY === true && stderr.isTTY === true;
}
