/** The connection with one data plane, whatever stands behind it: who it is, what it runs, whether it lives. */

import type { WebSocket } from "ws";
import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import { forever, inTime, orAborted, Scope, until, untilQuiet } from "../../core/waiting.ts";
import { type BasicInfo, parseBasicInfo } from "../../kong/basic-info.ts";
import { EMPTY_CONFIG_HASH, isConfigHash } from "../../kong/config-hash.ts";
import { parsePlaneError } from "../../kong/config-refusal.ts";
import { SILENCE_LIMIT_MS, STEP_TIMEOUT_MS } from "../../kong/wire.ts";
import type { Accepted } from "../door/admission.ts";
import { StalledReader } from "../door/paced-stream.ts";
import type { LiveLink } from "../live/live-link.ts";

export interface PlaneIntroduction {
  /** As it came, to be passed on. */
  readonly frame: Buffer;
  readonly info: BasicInfo;
}

export class PlaneChannel {
  readonly hash = new ReportedHash();
  /** While set, the control plane answers in our place. */
  link: LiveLink | undefined;
  readonly #connection: Accepted;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #over = new Scope();
  #heardAtMs: number;
  /** Takes the first message. */
  #introduce: (data: Buffer, isBinary: boolean) => void = () => {};
  #introduction: PlaneIntroduction | undefined;
  /** A pong of ours has not left yet. */
  #isPonging = false;

  constructor(connection: Accepted, clock: Clock, log: Log) {
    this.#connection = connection;
    this.#clock = clock;
    this.#log = log;
    this.#heardAtMs = clock.monotonicMs();
  }

  /** Aborts when the data plane is gone. */
  get gone(): AbortSignal {
    return this.#over.signal;
  }

  get webSocket(): WebSocket {
    return this.#connection.webSocket;
  }

  /**
   * Starts reading. The data plane's `basic_info`; undefined if something else comes first, nothing
   * within 5 s, or the data plane is gone. A ping before it is forgiven, as Kong's own control plane
   * does not.
   */
  async introduction(): Promise<PlaneIntroduction | undefined> {
    const first = new Promise<void>((resolve) => {
      this.#introduce = (frame, isBinary) => {
        const info = isBinary ? parseBasicInfo(frame) : undefined;
        this.#introduction = info && { frame, info };
        resolve();
      };
    });
    this.#listen();
    await orAborted(
      this.gone,
      inTime(STEP_TIMEOUT_MS, this.#clock, this.gone, () => first),
    );
    // What comes too late does not count.
    this.#introduce = () => {};
    return this.#introduction;
  }

  /** Ends the connection once nothing has come for 45 s. Resolves when it is over. */
  async watchSilence(): Promise<void> {
    const { gone } = this;
    const silence = untilQuiet(SILENCE_LIMIT_MS, () => this.#heardAtMs, this.#clock, gone);
    if ((await orAborted(gone, silence)) !== "aborted") {
      this.#log.warn({ silentMs: SILENCE_LIMIT_MS }, "data plane fell silent, connection dropped");
    }
    await this.terminate();
  }

  /** Resolves when the frame has left this process. Rejects with the reason of `gone`. */
  send(frame: Uint8Array): Promise<void> {
    return until(this.gone, (resolve) => {
      this.webSocket.send(frame, { binary: true }, (error) => {
        // With an error the connection is ending, which `gone` tells.
        if (error === undefined || error === null) resolve();
      });
      return undefined;
    });
  }

  /** Unasked where a ping was passed on to a control plane that will not answer any more. */
  pong(): void {
    const { webSocket } = this;
    // Whoever pings and does not read is not to fill the memory with answers.
    if (this.#isPonging || webSocket.readyState !== webSocket.OPEN) return;
    this.#isPonging = true;
    webSocket.pong("", false, () => {
      this.#isPonging = false;
    });
  }

  /**
   * As Kong does it: a close frame without a code, behind what is being sent. Resolves when the
   * connection is over, which it is 5 s later at the latest.
   */
  async close(): Promise<void> {
    this.webSocket.close();
    // It may close its side before.
    await orAborted(this.gone, this.#clock.sleep(STEP_TIMEOUT_MS, this.gone));
    await this.terminate();
  }

  /** Resolves when the connection is over. */
  async terminate(): Promise<void> {
    this.webSocket.terminate();
    await orAborted(this.gone, forever(this.gone));
  }

  #listen(): void {
    const { webSocket, socket } = this.#connection;
    const heard = (): void => {
      this.#heardAtMs = this.#clock.monotonicMs();
    };
    webSocket.on("error", (error) => {
      this.#log.warn({ err: error }, "data plane broke the protocol, connection dropped");
      webSocket.terminate();
    });
    socket.on("error", (error) => {
      if (!(error instanceof StalledReader)) return;
      this.#log.warn({ err: error }, "data plane takes no data, connection dropped");
    });
    webSocket.once("close", () => this.#over.end());
    webSocket.on("ping", (payload) => {
      heard();
      this.hash.report(payload);
      // Behind a long message the control plane's answer comes late, and the data plane counts the seconds.
      if (this.link === undefined || this.link.isReceiving) this.pong();
      this.link?.ping(payload);
    });
    webSocket.on("pong", heard);
    webSocket.on("message", (data, isBinary) => {
      heard();
      if (Buffer.isBuffer(data)) this.#take(data, isBinary);
    });
    if (webSocket.readyState === webSocket.CLOSED) this.#over.end();
    else webSocket.resume();
  }

  #take(data: Buffer, isBinary: boolean): void {
    if (this.#introduction === undefined) {
      this.#introduce(data, isBinary);
      return;
    }
    const error = parsePlaneError(data);
    if (error !== undefined) this.#log.error({ ...error }, "data plane could not take a config");
    this.link?.send(data, isBinary);
  }
}

/** The hash a data plane reports in its pings: the only sign of what it runs. */
export class ReportedHash {
  #value: string | undefined;
  readonly #listeners = new Set<() => void>();

  /** 32 zeros: it runs no config. Undefined before the first ping, and where it reports no hash. */
  get value(): string | undefined {
    return this.#value;
  }

  /** Whether it is known to run a config. */
  get isConfigured(): boolean {
    return isConfigHash(this.#value);
  }

  /** A ping came. A data plane up to 3.5 may report its lack of a config by an empty payload. */
  report(payload: Uint8Array): void {
    const text = Buffer.from(payload).toString("latin1");
    this.#value = text === "" ? EMPTY_CONFIG_HASH : text.match(/^[0-9a-f]{32}$/)?.[0];
    for (const listener of [...this.#listeners]) listener();
  }

  /** Resolves once a ping's hash `matches`, or already does. Rejects with `signal.reason`. */
  until(matches: (hash: string) => boolean, signal: AbortSignal): Promise<void> {
    return until<void>(signal, (resolve) => {
      const look = (): void => {
        if (this.#value !== undefined && matches(this.#value)) resolve();
      };
      this.#listeners.add(look);
      look();
      return () => this.#listeners.delete(look);
    });
  }
}
