/** A socket that takes a long write in pieces, so that a config sent to a thousand data planes is not encrypted a thousand times before anybody has read it. */

import { Duplex } from "node:stream";
import type { Clock } from "../../core/clock.ts";
import { Scope, within } from "../../core/waiting.ts";

/** TLS encrypts a write as a whole, into memory of its own, before the first byte leaves. */
const PIECE_BYTES = 65_536;

export interface PacedStreamOptions {
  readonly clock: Clock;
  /** A reader that takes not even one piece for this long is dropped, milliseconds. */
  readonly stallMs: number;
}

/** The reader took nothing for `stallMs`. */
export class StalledReader extends Error {
  override readonly name = "StalledReader";

  constructor(stallMs: number) {
    super(`the other side took no data for ${stallMs / 1000} s`);
  }
}

/**
 * Reads as `socket` does, and owns it: destroys it with itself, and is destroyed with its error. A
 * write calls back when its last piece has left the process; what is written meanwhile waits its
 * turn. A stalled reader ends it with StalledReader. Once the other side has ended, so does this
 * one, after what was written before.
 */
export class PacedStream extends Duplex {
  readonly #socket: Duplex;
  readonly #options: PacedStreamOptions;
  readonly #gone = new Scope();

  constructor(socket: Duplex, options: PacedStreamOptions) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    this.#options = options;
    socket.on("data", (chunk: Buffer) => {
      if (!this.push(chunk)) socket.pause();
    });
    socket.on("end", () => this.push(null));
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => {
      // After an orderly end, what came before it is still there to be read.
      if (!socket.readableEnded || this.writableLength > 0) this.destroy();
    });
    // Else it ended itself at the other side's end, in the middle of what is being written.
    socket.allowHalfOpen = true;
    // Its events have passed.
    if (socket.destroyed) this.destroy();
    else if (socket.readableEnded) this.push(null);
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#writeAll(chunk).then(() => done(), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#gone.end(error ?? new Error("the connection is closed"));
    this.#socket.destroy();
    done(error);
  }

  /** Settles even where a destroyed socket never calls back. */
  #writeAll(chunk: Buffer): Promise<void> {
    const { clock, stallMs } = this.#options;
    const late = (): StalledReader => new StalledReader(stallMs);
    return within({ ms: stallMs, clock, late }, this.#gone.signal, async (_, moved) => {
      for (let start = 0; start < chunk.length; start += PIECE_BYTES) {
        await this.#writePiece(chunk.subarray(start, start + PIECE_BYTES));
        moved();
      }
    });
  }

  #writePiece(piece: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(piece, (error) => {
        if (error === undefined || error === null) resolve();
        else reject(error);
      });
    });
  }
}
