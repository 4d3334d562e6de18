/** How far a long transfer is, for a person on a terminal; nobody else gets to see it. */

import type { Writable } from "node:stream";
import type { Clock } from "../core/clock.ts";

/** Transfers shorter than this show nothing. */
const SHOW_AFTER_MS = 1_000;
const REDRAW_MS = 100;
const MEBIBYTE = 2 ** 20;

export type Progress = (receivedBytes: number, totalBytes: number | undefined) => void;

/** One line that is drawn over itself, and ends when the transfer does. */
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
