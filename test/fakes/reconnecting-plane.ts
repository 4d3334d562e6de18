/** What fake data planes of both protocols share: one connection at a time, a record of what came, and reconnecting for ever. */

import { EventEmitter, once } from "node:events";
import type { Clock } from "../../src/core/clock.ts";
import { DataPlaneLink, type DataPlaneLinkOptions, type LinkEnd } from "./data-plane-link.ts";

export interface ReceivedMessage {
  /** Payload as it travelled. */
  readonly frame: Buffer;
  readonly isBinary: boolean;
  /** By the clock's `monotonicMs`. */
  readonly at: number;
}

export interface ReconnectingPlaneOptions
  extends Pick<DataPlaneLinkOptions, "controlPlane" | "tls" | "clock"> {
  /** Between 0 and 1, for the delay before it reconnects; always 0, which makes 5 s, by default. */
  readonly random?: () => number;
}

export abstract class ReconnectingPlane implements AsyncDisposable {
  /** Messages of all its connections, in order; without those it did not keep. */
  readonly received: ReceivedMessage[] = [];
  /** What no control plane must do to a data plane, whether a real one would survive it or not. */
  readonly violations: string[] = [];
  /** Attempts to connect that `run` saw fail. */
  readonly failures: unknown[] = [];
  /** How many were made. */
  connections = 0;
  pongs = 0;
  /** Of binary messages, as they travelled. */
  bytesReceived = 0;
  protected readonly clock: Clock;
  readonly #random: () => number;
  readonly #gone = new AbortController();
  readonly #events = new EventEmitter().setMaxListeners(0);
  #link: DataPlaneLink | undefined;

  constructor({ clock, random = () => 0 }: ReconnectingPlaneOptions) {
    this.clock = clock;
    this.#random = random;
  }

  /** Opens one connection, once: rejects as `DataPlaneLink.open` does. */
  async connect(): Promise<void> {
    await this.#connect(this.#gone.signal);
  }

  /**
   * Keeps connected as a real one does: after each end or failed attempt again, in 5 to 10 whole
   * seconds. Resolves, disconnected, once `signal` aborts or the plane is disposed of.
   */
  async run(signal: AbortSignal): Promise<void> {
    const stop = AbortSignal.any([signal, this.#gone.signal]);
    const hangUp = (): void => this.#link?.hangUp("stopped");
    stop.addEventListener("abort", hangUp, { once: true });
    while (!stop.aborted) {
      const delayMs = (5 + Math.floor(this.#random() * 6)) * 1_000;
      try {
        await this.#connect(stop);
        await this.closed;
        await this.settled();
      } catch (error) {
        if (!stop.aborted) this.failures.push(error);
        this.changed();
      }
      // An abort ends the loop.
      await this.clock.sleep(delayMs, stop).catch(() => {});
    }
    stop.removeEventListener("abort", hangUp);
  }

  get isConnected(): boolean {
    return this.#link !== undefined && !this.#link.signal.aborted;
  }

  /** How its newest connection ended, once it has. */
  get closed(): Promise<LinkEnd> {
    return this.link.ended;
  }

  /** Resolves once `condition` holds, looking whenever something happened to the plane. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await once(this.#events, "change", { signal: this.#gone.signal });
  }

  /** Sends a frame, whatever it is. */
  send(opcode: number, payload: Uint8Array, final = true): void {
    this.link.send(opcode, payload, final);
  }

  /** Sends bytes that may be no frame. */
  write(bytes: Uint8Array): void {
    this.link.write(bytes);
  }

  /** Stops reading; while it lasts, not even the end of the connection is noticed. */
  pause(): void {
    this.link.pause();
  }

  resume(): void {
    this.link.resume();
  }

  /** Ends the connection with a close frame. */
  close(): void {
    this.#link?.close("closed");
  }

  /** Ends the connection without one. */
  drop(): void {
    this.#link?.hangUp("dropped");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#gone.abort();
    this.drop();
    await this.#link?.ended;
  }

  protected get link(): DataPlaneLink {
    if (this.#link === undefined) throw new Error("not connected yet");
    return this.#link;
  }

  /** Aborts when the plane is disposed of. */
  protected get gone(): AbortSignal {
    return this.#gone.signal;
  }

  protected violation(what: string): void {
    this.violations.push(what);
    this.changed();
  }

  /** Wakes whoever waits in `until`. */
  protected changed(): void {
    this.#events.emit("change");
  }

  protected abstract linkOptions(): DataPlaneLinkOptions;

  /** Its part of a new connection: handlers and first frames. */
  protected abstract begin(link: DataPlaneLink): void | Promise<void>;

  /** Resolves once nothing of an ended connection goes on. */
  protected async settled(): Promise<void> {}

  async #connect(signal: AbortSignal): Promise<void> {
    const link = await DataPlaneLink.open(this.linkOptions(), signal);
    this.#link = link;
    this.connections += 1;
    void link.ended.then(() => this.changed());
    await this.begin(link);
    this.changed();
  }
}
