/** One direction of a relay, of either version of the protocol: the next message is not read before the last one has left, so that one at most lies in memory. */

import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";

/** Told of what passes. */
export interface PassageWatch {
  /** Bytes came, be they only a part of a frame. */
  readonly heard?: (bytes: number) => void;
  /** A frame is complete. */
  readonly framed?: () => void;
  /** A message is being passed on; `sent` as of `message`. */
  readonly passed?: (message: Buffer, isBinary: boolean, sent: Promise<void>) => void;
  /** Nothing is held any more. */
  readonly idle?: () => void;
}

/** How a side ended. */
export interface Ending {
  /** 1005: a close frame without a code; 1006: no close frame. RFC 6455 7.4.1 */
  readonly code: number;
  readonly reason: Buffer;
  /** Error of the connection or of the protocol, if there was one: the first. */
  readonly error: unknown;
}

export class Passage {
  readonly #from: WebSocket;
  readonly #to: WebSocket;
  readonly #watch: PassageWatch;
  #holds = 0;

  constructor(from: WebSocket, to: WebSocket, watch: PassageWatch = {}) {
    this.#from = from;
    this.#to = to;
    this.#watch = watch;
  }

  get isHeld(): boolean {
    return this.#holds > 0;
  }

  /** Passes on whatever comes; `socket` is what the WebSocket runs on. Resolves when that side has ended, which an error makes it do. */
  follow(socket: Duplex): Promise<Ending> {
    const from = this.#from;
    const { heard, framed, passed } = this.#watch;
    // Before the WebSocket reads it: the last piece of a message belongs to that message.
    if (heard !== undefined) socket.prependListener("data", (chunk: Buffer) => heard(chunk.length));
    from.on("message", (data, isBinary) => {
      framed?.();
      if (!Buffer.isBuffer(data)) return;
      const sent = this.message(data, isBinary);
      passed?.(data, isBinary, sent);
    });
    from.on("ping", (payload) => {
      framed?.();
      this.ping(payload);
    });
    from.on("pong", (payload) => {
      framed?.();
      this.pong(payload);
    });
    let firstError: unknown;
    for (const emitter of [socket, from]) {
      emitter.on("error", (error: unknown) => {
        firstError ??= error;
        // By itself ws would wait 30 s for the end of a connection on which it can read nothing more.
        from.terminate();
      });
    }
    return new Promise((resolve) => {
      from.once("close", (code, reason) => resolve({ code, reason, error: firstError }));
      // Its event has passed.
      if (from.readyState === from.CLOSED) {
        resolve({ code: 1006, reason: Buffer.alloc(0), error: undefined });
      }
    });
  }

  /** Passes a message on as it came. Resolves when it has left this process, or nobody is there to take it. */
  message(data: Buffer, isBinary: boolean): Promise<void> {
    return this.#pass((done) => this.#to.send(data, { binary: isBinary }, done));
  }

  /** Pings and pongs count as messages: whoever does not read them is sent no more of them either. */
  ping(payload: Buffer): void {
    void this.#pass((done) => this.#to.ping(payload, undefined, done));
  }

  pong(payload: Buffer): void {
    void this.#pass((done) => this.#to.pong(payload, undefined, done));
  }

  /** Reads nothing more until it is released as often as it was held. */
  hold(): void {
    this.#holds += 1;
    this.#from.pause();
  }

  release(): void {
    this.#holds -= 1;
    if (this.#holds > 0) return;
    this.#watch.idle?.();
    this.#from.resume();
  }

  #pass(send: (done: () => void) => void): Promise<void> {
    if (this.#to.readyState !== this.#to.OPEN) return Promise.resolve();
    this.hold();
    return new Promise((resolve) => {
      // Called with an error as well: then the connection is over, and its end is told elsewhere.
      send(() => {
        this.release();
        resolve();
      });
    });
  }
}
