/** A data plane's own connection to the control plane: frames pass both ways unchanged, and no faster than the slower side takes them. */

import type { WebSocket } from "ws";
import type { Clock } from "../../core/clock.ts";
import type { DialedConnection, SourceError } from "../../source/port.ts";
import { Passage } from "./passage.ts";
import type { TransferSlots } from "./transfer-slots.ts";

export interface LiveLinkOptions {
  /** Paused, nothing sent on it. */
  readonly connection: DialedConnection;
  readonly plane: WebSocket;
  /** Kong version the data plane declared, for messages. */
  readonly version: string;
  readonly slots: TransferSlots;
  readonly clock: Clock;
  /**
   * A binary message is being passed on: a config, for a control plane sends nothing else. `sent`
   * resolves when it has left this process.
   */
  readonly onConfig: (frame: Buffer, sent: Promise<void>) => void;
}

/** A message longer than this needs a slot before the rest of it is read. */
const SHORT_MESSAGE_BYTES = 65_536;
/**
 * A control plane answers pings at once. Less than the 15 s between a data plane's ping and its
 * giving up, so that a dead control plane costs no data plane its connection.
 */
const PONG_WAIT_MS = 12_000;

export class LiveLink {
  readonly #options: LiveLinkOptions;
  readonly #toPlane: Passage;
  readonly #toControlPlane: Passage;
  readonly #over = new AbortController();
  readonly #startedAtMs: number;
  #slot: "none" | "asked" | (() => void) = "none";
  /** Received since the last complete message. */
  #messageBytes = 0;
  #hasHeard = false;
  /** Ends the wait for an answer to a ping, while there is one. */
  #answer: AbortController | undefined;
  #error: unknown;

  constructor(options: LiveLinkOptions) {
    const { connection, plane, clock } = options;
    this.#options = options;
    this.#toPlane = new Passage(connection.webSocket, plane, () => this.#idle());
    this.#toControlPlane = new Passage(plane, connection.webSocket);
    this.#startedAtMs = clock.monotonicMs();
  }

  /** Milliseconds since it was made. */
  get ageMs(): number {
    return this.#options.clock.monotonicMs() - this.#startedAtMs;
  }

  /** Whether a long message is on its way from the control plane, or waits for a slot. */
  get isReceiving(): boolean {
    return this.#slot !== "none";
  }

  /**
   * Introduces the data plane, tells the config it runs if that is known, and passes on what comes,
   * until the connection ends. Resolves to why it did; when `signal` aborts, it is ended.
   */
  async run(
    basicInfo: Buffer,
    hash: string | undefined,
    signal: AbortSignal,
  ): Promise<SourceError> {
    const { connection, plane, version } = this.#options;
    const { webSocket } = connection;
    const closed = this.#listen();
    const stop = (): void => webSocket.terminate();
    signal.addEventListener("abort", stop, { once: true });
    try {
      if (signal.aborted) stop();
      if (webSocket.readyState === webSocket.OPEN) {
        webSocket.send(basicInfo, { binary: true });
        if (hash !== undefined) this.ping(Buffer.from(hash));
        webSocket.resume();
      }
      const { code, reason } = await closed;
      return connection.explain({
        closeCode: code,
        closeReason: reason,
        error: this.#error,
        afterMs: this.ageMs,
        heard: this.#hasHeard,
        version,
      });
    } finally {
      signal.removeEventListener("abort", stop);
      this.#over.abort();
      this.#answer?.abort();
      // Else what is still being sent gives it back when it has left.
      if (!this.#toPlane.isHeld) this.#giveSlotBack();
      // What it had sent and nobody will take now must not hold it back for ever.
      plane.resume();
    }
  }

  /** A ping of the data plane, passed on; the control plane's answer finds its own way back. */
  ping(payload: Buffer): void {
    this.#toControlPlane.ping(payload);
    this.#expectAnswer();
  }

  /** A message of the data plane, passed on. */
  send(data: Buffer, isBinary: boolean): void {
    void this.#toControlPlane.message(data, isBinary);
  }

  #listen(): Promise<{ readonly code: number; readonly reason: string }> {
    const { webSocket, socket } = this.#options.connection;
    // Before the WebSocket reads it: the last piece of a message belongs to that message.
    socket.prependListener("data", (chunk: Buffer) => this.#heard(chunk.length));
    webSocket.on("message", (data, isBinary) => {
      this.#framed();
      const sent = this.#toPlane.message(data, isBinary);
      if (isBinary && Buffer.isBuffer(data)) this.#options.onConfig(data, sent);
    });
    webSocket.on("ping", (payload) => {
      this.#framed();
      this.#toPlane.ping(payload);
    });
    webSocket.on("pong", (payload) => {
      this.#framed();
      this.#toPlane.pong(payload);
    });
    for (const emitter of [socket, webSocket]) {
      emitter.on("error", (error: unknown) => {
        this.#error ??= error;
        webSocket.terminate();
      });
    }
    if (webSocket.readyState === webSocket.CLOSED) {
      return Promise.resolve({ code: 1006, reason: "" });
    }
    return new Promise((resolve) => {
      webSocket.once("close", (code, reason) => resolve({ code, reason: reason.toString("utf8") }));
    });
  }

  /** Bytes came, be they only a part of a frame. */
  #heard(bytes: number): void {
    this.#answered();
    this.#messageBytes += bytes;
    if (this.#messageBytes > SHORT_MESSAGE_BYTES && this.#slot === "none") this.#askForSlot();
  }

  /** A frame is complete. */
  #framed(): void {
    this.#hasHeard = true;
    this.#messageBytes = 0;
  }

  #askForSlot(): void {
    this.#slot = "asked";
    this.#toPlane.hold();
    this.#options.slots.take(this.#over.signal).then(
      (giveBack) => {
        if (this.#over.signal.aborted) return giveBack();
        this.#slot = giveBack;
        this.#toPlane.release();
      },
      // The link is over.
      () => {},
    );
  }

  /** Nothing is held any more: what the control plane said meanwhile is read only now. */
  #idle(): void {
    this.#answered();
    if (this.#messageBytes === 0 || this.#over.signal.aborted) this.#giveSlotBack();
  }

  #giveSlotBack(): void {
    if (typeof this.#slot === "function") this.#slot();
    this.#slot = "none";
  }

  #expectAnswer(): void {
    if (this.#answer !== undefined || this.#over.signal.aborted) return;
    this.#answer = new AbortController();
    this.#options.clock.sleep(PONG_WAIT_MS, this.#answer.signal).then(
      () => {
        this.#answer = undefined;
        if (!this.#toPlane.isHeld) this.#break();
      },
      // It came, or the link is over.
      () => {},
    );
  }

  #answered(): void {
    this.#answer?.abort();
    this.#answer = undefined;
  }

  #break(): void {
    this.#error ??= new Error(`no answer to a ping within ${PONG_WAIT_MS / 1000} s`);
    this.#options.connection.webSocket.terminate();
  }
}
