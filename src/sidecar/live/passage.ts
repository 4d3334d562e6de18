/** One direction of a relay: the next message is not read before the last one has left, so that one at most lies in memory. */

import type { WebSocket } from "ws";

export class Passage {
  readonly #from: WebSocket;
  readonly #to: WebSocket;
  readonly #onIdle: () => void;
  #holds = 0;

  /** `onIdle` is called whenever nothing is held any more. */
  constructor(from: WebSocket, to: WebSocket, onIdle: () => void = () => {}) {
    this.#from = from;
    this.#to = to;
    this.#onIdle = onIdle;
  }

  get isHeld(): boolean {
    return this.#holds > 0;
  }

  /**
   * Passes a message on as it came. Resolves when it has left this process, or nobody is there to
   * take it.
   */
  async message(data: unknown, isBinary: boolean): Promise<void> {
    if (!Buffer.isBuffer(data)) return;
    await this.#pass((done) => this.#to.send(data, { binary: isBinary }, done));
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
    this.#onIdle();
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
