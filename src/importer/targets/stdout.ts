/** Target `-`: the config's bytes on standard output, for a pipe. */

import type { Writable } from "node:stream";
import { describeCause } from "../../core/errors.ts";
import { until } from "../../core/waiting.ts";
import type { Snapshot } from "../../snapshots/snapshot.ts";
import { type Target, TargetError } from "./port.ts";

const CHUNK_BYTES = 64 * 1024;

/** The bytes and nothing else, no newline behind them. What was written cannot be taken back, so "all or nothing" ends here. */
export class StdoutTarget implements Target {
  readonly name = "standard output";
  readonly #output: Writable;

  /** `output` stays open; it is its owner's. */
  constructor(output: Writable) {
    this.#output = output;
  }

  async apply(snapshot: Snapshot, signal: AbortSignal): Promise<"applied"> {
    const ignore = () => {
      // `write` reports the same error to its callback; an event nobody hears would end the process.
    };
    this.#output.on("error", ignore);
    try {
      for (let start = 0; start < snapshot.config.length; start += CHUNK_BYTES) {
        signal.throwIfAborted();
        await this.#write(snapshot.config.subarray(start, start + CHUNK_BYTES), signal);
      }
      return "applied";
    } finally {
      this.#output.off("error", ignore);
    }
  }

  async withdraw(): Promise<boolean> {
    return false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The stream is its owner's.
  }

  /** Resolves when the reader has taken the chunk, so that a slow one slows us down. */
  #write(chunk: Uint8Array, signal: AbortSignal): Promise<void> {
    return until(signal, (resolve, reject) => {
      this.#output.write(chunk, (error) => (error ? reject(unwritable(error)) : resolve()));
      return undefined;
    });
  }
}

function unwritable(cause: Error): TargetError {
  return new TargetError(
    "TARGET_UNWRITABLE",
    `could not write to standard output: ${describeCause(cause)}`,
    {
      cause,
      hint: "See why the program behind the pipe stopped reading, or whether the disk is full.",
    },
  );
}
