/** An error as the person at the terminal sees it, and the exit status it ends with. */

import type { Writable } from "node:stream";
import { describeCause, ServiceError } from "../core/errors.ts";
import { Interrupted } from "../runtime/shutdown.ts";
import { printable } from "./text.ts";

/** 1 for what nobody expected: a bug. Where several errors came together, that of the first. */
export function exitStatusOf(error: unknown): number {
  if (isSuppressed(error)) return exitStatusOf(error.suppressed);
  if (error instanceof ServiceError || error instanceof Interrupted) return error.exitStatus;
  return 1;
}

/** Message, cause, hint and code; the stack only for a bug. What failed at cleaning up comes after what failed before it. */
export function printError(error: unknown, stderr: Writable): void {
  if (isSuppressed(error)) {
    printError(error.suppressed, stderr);
    printError(error.error, stderr);
    return;
  }
  if (error instanceof Interrupted) {
    stderr.write(`kong-fallback: ${error.message}\n`);
    return;
  }
  if (!(error instanceof ServiceError)) {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    stderr.write(`kong-fallback: unexpected error, please report it\n${detail}\n`);
    return;
  }
  const cause = error.cause === undefined ? "" : describeCause(error.cause);
  const [first, ...faults] = error.message.split("\n");
  const lines = [
    `kong-fallback: ${first} [${error.code}]`,
    ...faults,
    ...(cause === "" || error.message.includes(cause) ? [] : [`  Cause: ${cause}`]),
    ...(error.hint === undefined ? [] : [`  Try:   ${error.hint}`]),
  ];
  // What a store or a Kong says stands in it: nothing a terminal would obey. Line feeds are ours.
  stderr.write(`${lines.join("\n").split("\n").map(printable).join("\n")}\n`);
}

/** `suppressed` came first; `error` is of the disposal that followed. */
interface Suppressed {
  readonly error: unknown;
  readonly suppressed: unknown;
}

/** By its shape: Node 20 has no such class, there the compiler's helper makes it. */
function isSuppressed(error: unknown): error is Suppressed {
  return (
    error instanceof Error &&
    error.name === "SuppressedError" &&
    "error" in error &&
    "suppressed" in error
  );
}
