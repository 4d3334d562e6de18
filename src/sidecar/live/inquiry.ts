/** Whether a control plane that gives one data plane no config gives any to others: it is asked as a data plane that lacks no plugin. */

import type { Clock } from "../../core/clock.ts";
import { ServiceError } from "../../core/errors.ts";
import { Backoff, type BackoffPolicy, retryAfterMsOf } from "../../core/trying.ts";
import { inTime, Slots, until } from "../../core/waiting.ts";
import { encodeBasicInfo } from "../../kong/basic-info.ts";
import type { DialedConnection, Dialer } from "../../source/port.ts";
import { MAX_RETRY_AFTER_MS } from "./upstream.ts";

export interface InquiryOptions {
  readonly dialer: Dialer;
  /** Path and query to ask for, as a data plane of this Kong version. */
  readonly target: (kongVersion: string) => string;
  /** Names of the plugins declared, besides those that `ask` is given. */
  readonly plugins: readonly string[];
  /** A control plane that has sent no config for this long is taken to have none to send, milliseconds. */
  readonly configWaitMs: number;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

interface Answer {
  readonly frame: Buffer | undefined;
  /** By the monotonic clock. */
  readonly atMs: number;
}

/** Between attempts to ask at all. */
const RETRY: BackoffPolicy = { minMs: 1_000, maxMs: 10_000 };

export class Inquiry {
  readonly #options: InquiryOptions;
  readonly #turn = new Slots(1);
  /** By Kong version: data planes that come together are told the same. */
  readonly #answers = new Map<string, Answer>();

  constructor(options: InquiryOptions) {
    this.#options = options;
  }

  /**
   * The config that the control plane gives to a data plane of this version with these plugins, and
   * all others known; undefined where it gives none. Tries until it could ask. An answer is good for
   * as long as it takes to get one. Rejects with `signal.reason`.
   */
  ask(
    kongVersion: string,
    plugins: Iterable<string>,
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    const { clock, configWaitMs, random } = this.#options;
    return this.#turn.within(signal, async () => {
      const known = this.#answers.get(kongVersion);
      if (known !== undefined && clock.monotonicMs() - known.atMs < configWaitMs) {
        return known.frame;
      }
      // Only the last one asked for is kept: a config may be long, and versions many.
      this.#answers.clear();
      const failing = new Backoff(random);
      for (;;) {
        try {
          const frame = await this.#askOnce(kongVersion, plugins, signal);
          this.#answers.set(kongVersion, { frame, atMs: clock.monotonicMs() });
          return frame;
        } catch (error) {
          signal.throwIfAborted();
          if (!(error instanceof ServiceError)) throw error;
          const asked = Math.min(retryAfterMsOf(error), MAX_RETRY_AFTER_MS);
          await clock.sleep(failing.failed(RETRY, asked), signal);
        }
      }
    });
  }

  async #askOnce(
    kongVersion: string,
    plugins: Iterable<string>,
    signal: AbortSignal,
  ): Promise<Buffer | undefined> {
    const { dialer, target, clock, configWaitMs } = this.#options;
    const names = [...new Set([...this.#options.plugins, ...plugins])];
    const basicInfo = encodeBasicInfo({ plugins: names, labels: {} });
    const connection = await dialer.dial({ target: target(kongVersion) }, signal);
    const startedAtMs = clock.monotonicMs();
    let bytes = 0;
    connection.socket.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    const first = firstConfig(connection, basicInfo, kongVersion, signal, () => {
      return clock.monotonicMs() - startedAtMs;
    });
    try {
      for (;;) {
        const before = bytes;
        const frame = await inTime(configWaitMs, clock, signal, () => first);
        if (frame !== "late") return frame;
        // A long one may be on its way.
        if (bytes - before <= SHORT_BYTES) return undefined;
      }
    } finally {
      // A control plane complains of connections that break off.
      connection.webSocket.close();
      connection.webSocket.terminate();
    }
  }
}

/** More than the answers to the upgrade and to pings. */
const SHORT_BYTES = 1_024;

/** Rejects with SourceError once the connection ends, and with `signal.reason`. */
function firstConfig(
  { webSocket, explain }: DialedConnection,
  basicInfo: Buffer,
  version: string,
  signal: AbortSignal,
  ageMs: () => number,
): Promise<Buffer> {
  const first = until<Buffer>(signal, (resolve, reject) => {
    webSocket.on("error", () => {});
    webSocket.on("message", (data, isBinary) => {
      if (isBinary && Buffer.isBuffer(data)) resolve(data);
    });
    webSocket.once("close", (closeCode, closeReason) =>
      reject(
        explain({
          closeCode,
          closeReason: closeReason.toString("utf8"),
          error: undefined,
          afterMs: ageMs(),
          heard: false,
          version,
        }),
      ),
    );
    webSocket.send(basicInfo, { binary: true });
    webSocket.resume();
    return undefined;
  });
  first.catch(() => {});
  return first;
}
