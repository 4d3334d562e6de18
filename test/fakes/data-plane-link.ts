/** One connection of a fake data plane, once it is open: frames both ways, and how it ends. */

import type { TLSSocket } from "node:tls";
import type { Clock } from "../../src/core/clock.ts";
import { SILENCE_LIMIT_MS, STEP_TIMEOUT_MS } from "../../src/kong/wire.ts";
import { step } from "../../src/source/connect.ts";
import { type DialOptions, dial, upgrade } from "./data-plane-dial.ts";
import { type Arrival, ArrivalReader, encodeMasked, FrameFault } from "./data-plane-frames.ts";
import { CLOSE } from "./websocket-frames.ts";

export interface DataPlaneLinkOptions extends DialOptions {
  readonly clock: Clock;
  readonly maxPayloadBytes: number;
  /** Whether messages are handed over, or only their lengths. */
  readonly keeps: boolean;
  /** Takes one chunk, of at most 64 kB, per this many milliseconds of the clock; as fast as it can by default. */
  readonly chunkEveryMs?: number;
}

/** How a connection ended. */
export interface LinkEnd {
  /** Of the control plane's close frame: 1005 where it has no code, 1006 where no close frame came. */
  readonly code: number;
  /** Why the data plane itself hung up; undefined if the control plane did. */
  readonly reason: string | undefined;
}

export interface LinkHandlers {
  /** Every frame but close, in order. */
  frame(arrival: Arrival): void;
  /** What a control plane must not do. */
  violation(what: string): void;
}

export class DataPlaneLink {
  /** Of the 101, names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly ended: Promise<LinkEnd>;
  readonly #socket: TLSSocket;
  readonly #options: DataPlaneLinkOptions;
  readonly #over = new AbortController();
  #end: LinkEnd | undefined;
  #heardAtMs: number;
  #isPaused = false;

  private constructor(
    socket: TLSSocket,
    headers: ReadonlyMap<string, string>,
    options: DataPlaneLinkOptions,
  ) {
    this.#socket = socket;
    this.headers = headers;
    this.#options = options;
    this.#heardAtMs = options.clock.monotonicMs();
    this.ended = new Promise((resolve) => {
      const ended = (): void => {
        this.#over.abort(new Error("the connection is over"));
        resolve(this.#end ?? { code: 1006, reason: undefined });
      };
      if (socket.closed) ended();
      else socket.once("close", ended);
    });
  }

  /** Rejects with HandshakeRefused, StepTimeout, Node's own error, or `signal.reason`. Nothing is read before `start`. */
  static async open(options: DataPlaneLinkOptions, signal: AbortSignal): Promise<DataPlaneLink> {
    const { clock } = options;
    const socket = await step(clock, signal, (limit) => dial(options, limit));
    try {
      const headers = await step(clock, signal, (limit) => upgrade(socket, options, limit));
      signal.throwIfAborted();
      return new DataPlaneLink(socket, headers, options);
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /** Aborts when the connection is over. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /** Milliseconds since anything came; 0 while it does not read. */
  get silentForMs(): number {
    return this.#isPaused ? 0 : this.#options.clock.monotonicMs() - this.#heardAtMs;
  }

  start(handlers: LinkHandlers): void {
    const { chunkEveryMs, clock } = this.#options;
    const reader = new ArrivalReader(this.#options);
    const take = (chunk: Buffer): void => {
      // Its library gives up on a frame in the middle and then reads the rest as a new one.
      if (reader.isMidFrame && this.silentForMs > STEP_TIMEOUT_MS) {
        handlers.violation(`a frame that stood still for ${this.silentForMs} ms`);
      }
      this.#heardAtMs = clock.monotonicMs();
      this.#read(reader, chunk, handlers);
      if (chunkEveryMs === undefined || this.signal.aborted) return;
      this.pause();
      clock.sleep(chunkEveryMs, this.signal).then(
        () => this.resume(),
        // Over; nothing is left to read.
        () => {},
      );
    };
    this.#socket.on("data", take);
    this.#socket.resume();
  }

  /** Hangs up after `SILENCE_LIMIT_MS` without a byte; resolves when the connection is over. */
  async watchSilence(): Promise<void> {
    try {
      while (this.silentForMs < SILENCE_LIMIT_MS) {
        await this.#options.clock.sleep(SILENCE_LIMIT_MS - this.silentForMs, this.signal);
      }
      this.hangUp("heard nothing for 45 s");
    } catch {
      // The connection ended first.
    }
  }

  send(opcode: number, payload: Uint8Array, final = true): void {
    this.write(encodeMasked(opcode, payload, final));
  }

  /** Bytes as they are, whatever they are. Nothing happens once the connection is over. */
  write(bytes: Uint8Array): void {
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  /** Stops reading; while it lasts, not even the end of the connection is noticed. */
  pause(): void {
    this.#isPaused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#heardAtMs = this.#options.clock.monotonicMs();
    this.#socket.resume();
  }

  /** Close frame without a code, then the end. */
  close(reason: string): void {
    this.#conclude({ code: 1006, reason });
  }

  /** FIN without a close frame. */
  hangUp(reason: string): void {
    this.#end ??= { code: 1006, reason };
    this.#over.abort(new Error("the connection is over"));
    this.#socket.destroy();
  }

  #conclude(end: LinkEnd): void {
    this.#end ??= end;
    this.#over.abort(new Error("the connection is over"));
    this.#socket.end(encodeMasked(CLOSE, Buffer.alloc(0)));
    this.#socket.destroySoon();
  }

  #read(reader: ArrivalReader, chunk: Buffer, handlers: LinkHandlers): void {
    try {
      for (const arrival of reader.read(chunk)) {
        if (this.#end !== undefined) return;
        if (arrival.opcode === CLOSE) {
          const code = arrival.bytes < 2 ? 1005 : arrival.payload.readUInt16BE(0);
          this.#conclude({ code, reason: undefined });
        } else {
          handlers.frame(arrival);
        }
      }
    } catch (error) {
      if (!(error instanceof FrameFault)) throw error;
      handlers.violation(error.message);
      this.hangUp(error.message);
    }
  }
}
