/** The connection with one data plane, whatever stands behind it: who it is, what it runs, whether it lives. */

import { once } from "node:events";
import type { WebSocket } from "ws";
import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import { until } from "../../core/waiting.ts";
import { type BasicInfo, parseBasicInfo } from "../../kong/basic-info.ts";
import { parsePlaneError } from "../../kong/plane-error.ts";
import { SILENCE_LIMIT_MS, STEP_TIMEOUT_MS } from "../../kong/wire.ts";
import type { Accepted } from "../door/admission.ts";
import { StalledReader } from "../door/paced-stream.ts";
import type { LiveLink } from "../live/live-link.ts";
import { ReportedHash } from "./reported-hash.ts";

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
  readonly #over = new AbortController();
  #heardAtMs: number;
  #introduce: (frame: Buffer | undefined) => void = () => {};
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
    const first = new Promise<Buffer | undefined>((resolve) => {
      this.#introduce = resolve;
    });
    this.#listen();
    const over = new AbortController();
    const frame = await Promise.race([
      first,
      this.#clock.sleep(STEP_TIMEOUT_MS, over.signal).then(() => undefined),
    ]).finally(() => over.abort());
    const info = frame && parseBasicInfo(frame);
    if (frame === undefined || info === undefined) return undefined;
    this.#introduction = { frame, info };
    return this.#introduction;
  }

  /** Ends the connection once nothing has come for 45 s. Resolves when it is over. */
  async watchSilence(): Promise<void> {
    try {
      for (;;) {
        const silentForMs = this.#clock.monotonicMs() - this.#heardAtMs;
        if (silentForMs >= SILENCE_LIMIT_MS) break;
        await this.#clock.sleep(SILENCE_LIMIT_MS - silentForMs, this.gone);
      }
      this.#log.warn({ silentMs: SILENCE_LIMIT_MS }, "data plane fell silent, connection dropped");
    } catch {
      // It is gone: the sleep ended early.
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
    try {
      await this.#clock.sleep(STEP_TIMEOUT_MS, this.gone);
    } catch {
      // It closed its side in time.
    }
    await this.terminate();
  }

  /** Resolves when the connection is over. */
  async terminate(): Promise<void> {
    this.webSocket.terminate();
    if (!this.gone.aborted) await once(this.gone, "abort");
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
    webSocket.once("close", () => {
      this.#introduce(undefined);
      this.#over.abort();
    });
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
    if (webSocket.readyState === webSocket.CLOSED) this.#over.abort();
    else webSocket.resume();
  }

  #take(data: Buffer, isBinary: boolean): void {
    if (this.#introduction === undefined) {
      this.#introduce(isBinary ? data : undefined);
      return;
    }
    const error = parsePlaneError(data);
    if (error !== undefined) this.#log.error({ ...error }, "data plane could not take a config");
    this.link?.send(data, isBinary);
  }
}
