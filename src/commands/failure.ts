/** An error as the person at the terminal sees it, and the exit status it ends with. */

import type { Writable } from "node:stream";
import { describeCause, ServiceError } from "../core/errors.ts";
import { Interrupted } from "../runtime/shutdown.ts";
import { printable } from "./table.ts";

/** 1 for what nobody expected: a bug. */
export function exitStatusOf(error: unknown): number {
  if (error instanceof ServiceError || error instanceof Interrupted) return error.exitStatus;
  return 1;
}

/** Message, cause, hint and code; the stack only for a bug. */
export function printError(error: unknown, stderr: Writable): void {
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
