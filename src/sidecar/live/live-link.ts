/** A data plane's own connection to the control plane: frames pass both ways unchanged, and no faster than the slower side takes them. */

import type { WebSocket } from "ws";
import type { Clock } from "../../core/clock.ts";
import { orAborted, raced, Scope, type Slots } from "../../core/waiting.ts";
import type { DialedConnection, SourceError } from "../../source/port.ts";
import { Passage } from "./relay.ts";

export interface LiveLinkOptions {
  /** Paused, nothing sent on it. */
  readonly connection: DialedConnection;
  readonly plane: WebSocket;
  /** Kong version the data plane declared, for messages. */
  readonly version: string;
  /** For long messages, which lie in memory as a whole. */
  readonly slots: Slots;
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
  readonly #over = new Scope();
  readonly #startedAtMs: number;
  #slot: "none" | "asked" | (() => void) = "none";
  /** Received since the last complete message. */
  #messageBytes = 0;
  #hasHeard = false;
  /** Ends the wait for an answer to a ping, while there is one. */
  #answer: Scope | undefined;
  /** Why it was ended here. */
  #error: unknown;

  constructor(options: LiveLinkOptions) {
    const { connection, plane, clock, onConfig } = options;
    this.#options = options;
    this.#toPlane = new Passage(connection.webSocket, plane, {
      heard: (bytes) => this.#heard(bytes),
      framed: () => this.#framed(),
      passed: (message, isBinary, sent) => isBinary && onConfig(message, sent),
      idle: () => this.#idle(),
    });
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
    const { webSocket, socket } = connection;
    const ended = this.#toPlane.follow(socket);
    if (!signal.aborted && webSocket.readyState === webSocket.OPEN) {
      webSocket.send(basicInfo, { binary: true });
      if (hash !== undefined) this.ping(Buffer.from(hash));
      webSocket.resume();
    }
    if ((await orAborted(signal, raced(signal, ended))) === "aborted") webSocket.terminate();
    const { code, reason, error } = await ended;
    this.#over.end();
    // Else what is still being sent gives it back when it has left.
    if (!this.#toPlane.isHeld) this.#giveSlotBack();
    // What it had sent and nobody will take now must not hold it back for ever.
    plane.resume();
    return connection.explain({
      closeCode: code,
      closeReason: reason.toString("utf8"),
      error: this.#error ?? error,
      afterMs: this.ageMs,
      heard: this.#hasHeard,
      version,
    });
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
        if (this.#over.isOver) return giveBack();
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
    if (this.#messageBytes === 0 || this.#over.isOver) this.#giveSlotBack();
  }

  #giveSlotBack(): void {
    if (typeof this.#slot === "function") this.#slot();
    this.#slot = "none";
  }

  #expectAnswer(): void {
    if (this.#answer !== undefined || this.#over.isOver) return;
    this.#answer = new Scope(this.#over.signal);
    this.#options.clock.sleep(PONG_WAIT_MS, this.#answer.signal).then(
      () => {
        this.#answered();
        if (!this.#toPlane.isHeld) this.#break();
      },
      // It came, or the link is over.
      () => {},
    );
  }

  #answered(): void {
    this.#answer?.end();
    this.#answer = undefined;
  }

  #break(): void {
    this.#error = new Error(`no answer to a ping within ${PONG_WAIT_MS / 1000} s`);
    this.#options.connection.webSocket.terminate();
  }
}
