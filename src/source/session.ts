/** An open session with a control plane: tells it who we are, keeps the heartbeat, hands out what comes. */

import { WebSocket } from "ws";
import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import { Bell, forever, inTime, until } from "../core/waiting.ts";
import { EMPTY_CONFIG_HASH } from "../kong/config-hash.ts";
import type { ConfigUpdate } from "../kong/reconfigure.ts";
import { PING_INTERVAL_MS, SILENCE_LIMIT_MS } from "../kong/wire.ts";
import type { Connection } from "./dialer.ts";
import type { Peer } from "./handshake-diagnosis.ts";
import type { SourceEvent } from "./port.ts";
import { diagnoseEnd, type SyncStatus, silent, withheld } from "./session-diagnosis.ts";

/** Within this time a close frame is answered, or the connection is broken off. */
const CLOSE_WAIT_MS = 1_000;

export interface SessionOptions {
  readonly basicInfo: Uint8Array;
  /** Kong version declared, for messages. */
  readonly version: string;
  readonly maxPayloadBytes: number;
  readonly decode: (frame: Uint8Array) => Promise<ConfigUpdate>;
  /** How the control plane judges this node; undefined where nobody can be asked. Rejects only once the signal aborts. */
  readonly askStatus: (signal: AbortSignal) => Promise<SyncStatus | undefined>;
  /** When the first ping is sent, milliseconds after the start: a control plane sends its config without one. */
  readonly firstPingMs: number;
  /** From when on a config is overdue, milliseconds after the start: a control plane that has one for this node sends it within a second or two. */
  readonly configWaitMs: number;
  /** Runs beside the session, and ends it by rejecting. */
  readonly beside?: ((session: Session, signal: AbortSignal) => Promise<never>) | undefined;
  readonly clock: Clock;
}

/** The newest config of a session. */
export interface Sent {
  /** By the monotonic clock; of the start of the session where none came. */
  readonly atMs: number;
  /** Kong's hash; undefined where none came that could be used, or it came without. */
  readonly configHash: string | undefined;
}

export class Session {
  readonly #connection: Connection;
  readonly #options: SessionOptions;
  /** Aborts when the session is over, for whatever reason. */
  readonly #signal: AbortSignal;
  /** Hash of the config that is durably saved. */
  #savedHash: string | undefined;
  /** The newest message not yet handed out; an older one is dropped, so that memory stays bounded. */
  #frame: Uint8Array | undefined;
  /** To be handed out after the newest message. */
  #notice: SourceEvent | undefined;
  #sent: Sent = { atMs: 0, configHash: undefined };
  #failure: unknown;
  #connectionError: unknown;
  #isStarted = false;
  #startedAtMs = 0;
  #heardAtMs = 0;
  #isAnswered = false;
  #hasConfig = false;
  #isOverdue = false;
  /** Rung whenever there is something for `events` to see. */
  readonly #bell = new Bell();

  /** Sends nothing yet. Once `signal` aborts, the connection is torn down. */
  constructor(
    connection: Connection,
    options: SessionOptions,
    savedHash: string | undefined,
    signal: AbortSignal,
  ) {
    this.#connection = connection;
    this.#options = options;
    this.#savedHash = savedHash;
    this.#signal = signal;
    forever(signal).catch(() => this.#breakOff());
  }

  get peer(): Peer {
    return this.#connection.peer;
  }

  get sent(): Sent {
    return this.#sent;
  }

  /** Hands it out, in place of what was told before and is not handed out yet; not where a config has come, which says more. */
  tell(event: SourceEvent): void {
    if (this.#frame !== undefined) return;
    this.#notice = event;
    this.#bell.ring();
  }

  /** Ends it by a close frame, for a control plane complains of connections that break off. */
  async leave(signal: AbortSignal): Promise<void> {
    const { webSocket } = this.#connection;
    if (this.#mayClose) {
      await inTime(CLOSE_WAIT_MS, this.#options.clock, signal, (both) =>
        until<void>(both, (resolve) => {
          webSocket.once("close", () => resolve());
          webSocket.close();
          return undefined;
        }),
      );
    }
    this.#breakOff();
  }

  /** Reports a newly saved config at once, as a data plane does after applying one. */
  saved(hash: string): void {
    this.#savedHash = hash;
    if (this.#isStarted) this.#ping();
  }

  /** Starts the session. Configs, rejections, at most one `withheld` of its own, and what it is told to tell; ends by throwing. */
  async *events(): AsyncGenerator<SourceEvent, never> {
    this.#start();
    for (;;) {
      this.#signal.throwIfAborted();
      if (this.#frame !== undefined) {
        const frame = this.#frame;
        this.#frame = undefined;
        yield await this.#decode(frame);
      } else if (this.#notice !== undefined) {
        const notice = this.#notice;
        this.#notice = undefined;
        yield notice;
      } else if (this.#failure !== undefined) {
        throw this.#failure;
      } else {
        await this.#bell.wait(this.#signal);
      }
    }
  }

  /** `basic_info` must be first: a control plane drops who pings before it. */
  #start(): void {
    const { webSocket, socket } = this.#connection;
    this.#startedAtMs = this.#options.clock.monotonicMs();
    this.#heardAtMs = this.#startedAtMs;
    this.#sent = { atMs: this.#startedAtMs, configHash: undefined };
    // Bytes rather than messages: a large config over a slow line is life.
    socket.on("data", () => {
      this.#heardAtMs = this.#options.clock.monotonicMs();
    });
    socket.on("error", (error) => {
      this.#connectionError ??= error;
    });
    webSocket.on("message", (data, isBinary) => {
      if (isBinary && Buffer.isBuffer(data)) this.#take(data);
    });
    webSocket.on("pong", () => {
      this.#isAnswered = true;
      this.#explainSilence();
    });
    webSocket.on("error", (error) => {
      this.#connectionError ??= error;
      webSocket.terminate();
    });
    webSocket.on("close", (code, reason) => this.#closed(code, reason.toString("utf8")));
    if (webSocket.readyState !== WebSocket.OPEN) {
      this.#closed(1006, "");
      return;
    }
    webSocket.send(this.#options.basicInfo, { binary: true });
    this.#isStarted = true;
    const { beside, firstPingMs } = this.#options;
    if (firstPingMs === 0) this.#ping();
    webSocket.resume();
    this.#inBackground(this.#beat(firstPingMs === 0 ? PING_INTERVAL_MS : firstPingMs));
    this.#inBackground(this.#listen());
    this.#inBackground(this.#expectConfig());
    if (beside !== undefined) this.#inBackground(beside(this, this.#signal));
  }

  #take(frame: Uint8Array): void {
    this.#hasConfig = true;
    this.#frame = frame;
    this.#notice = undefined;
    this.#bell.ring();
  }

  async #decode(frame: Uint8Array): Promise<SourceEvent> {
    const atMs = this.#options.clock.monotonicMs();
    this.#sent = { atMs, configHash: undefined };
    try {
      const update = await this.#options.decode(frame);
      this.#sent = { atMs, configHash: update.configHash };
      return { kind: "config", update };
    } catch (error) {
      if (error instanceof ServiceError) return { kind: "rejected", error };
      throw error;
    }
  }

  #closed(closeCode: number, closeReason: string): void {
    const { clock, maxPayloadBytes, version } = this.#options;
    this.#end(
      diagnoseEnd(
        {
          closeCode,
          closeReason,
          error: this.#connectionError,
          afterMs: clock.monotonicMs() - this.#startedAtMs,
          heard: this.#isAnswered || this.#hasConfig,
          maxPayloadBytes,
          version,
        },
        this.#connection.peer,
      ),
    );
  }

  /** The first reason counts; the connection goes with it. */
  #end(failure: unknown): void {
    this.#failure ??= failure;
    this.#connection.webSocket.terminate();
    this.#bell.ring();
  }

  /** At once, but not without a word. */
  #breakOff(): void {
    const { webSocket } = this.#connection;
    if (this.#mayClose) webSocket.close();
    webSocket.terminate();
  }

  /** Not before `basic_info`: there a control plane falls over a close frame. Kong/kong@3.9.1 kong/clustering/control_plane.lua */
  get #mayClose(): boolean {
    return this.#isStarted && this.#connection.webSocket.readyState === WebSocket.OPEN;
  }

  #ping(): void {
    this.#connection.webSocket.ping(Buffer.from(this.#savedHash ?? EMPTY_CONFIG_HASH));
  }

  async #beat(firstMs: number): Promise<void> {
    const { clock } = this.#options;
    await clock.sleep(firstMs, this.#signal);
    for (;;) {
      this.#ping();
      await clock.sleep(PING_INTERVAL_MS, this.#signal);
    }
  }

  async #listen(): Promise<void> {
    const { clock } = this.#options;
    for (;;) {
      const silentForMs = clock.monotonicMs() - this.#heardAtMs;
      if (silentForMs >= SILENCE_LIMIT_MS) return this.#end(silent(this.#connection.peer));
      await clock.sleep(SILENCE_LIMIT_MS - silentForMs, this.#signal);
    }
  }

  async #expectConfig(): Promise<void> {
    await this.#options.clock.sleep(this.#options.configWaitMs, this.#signal);
    this.#isOverdue = true;
    this.#explainSilence();
  }

  /** Once a session: the control plane answers pings but has sent no config in time. */
  #explainSilence(): void {
    if (!this.#isOverdue || !this.#isAnswered || this.#hasConfig) return;
    this.#isOverdue = false;
    this.#inBackground(
      this.#options.askStatus(this.#signal).then((status) => {
        if (this.#hasConfig) return;
        const { configWaitMs } = this.#options;
        this.tell({ kind: "withheld", error: withheld(this.peer, configWaitMs, status) });
      }),
    );
  }

  /** What runs beside the session ends with it; anything else that ends it is a failure of the session. */
  #inBackground(task: Promise<void>): void {
    task.catch((error: unknown) => {
      if (!this.#signal.aborted) this.#end(error);
    });
  }
}
