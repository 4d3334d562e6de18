/** Target `http(s)://…`: the Admin API of a DB-less Kong, which takes the config at once and keeps it. */

import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import { type BackoffPolicy, keepTryingWithin } from "../../core/trying.ts";
import { inTime } from "../../core/waiting.ts";
import {
  type AdminClient,
  AdminError,
  type ConfigLoad,
  isEmptyHash,
  prepareConfigLoad,
  refusesConfig,
} from "../../kong/admin-client.ts";
import type { Snapshot } from "../../snapshots/snapshot.ts";
import { type Target, TargetError } from "./port.ts";

export interface AdminTargetOptions {
  /** Disposed of with the target. */
  readonly client: AdminClient;
  /** For all attempts and the confirmation together, milliseconds. Kong loads 10 MB in about 4 s. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

const BACKOFF: BackoffPolicy = { minMs: 250, maxMs: 5_000 };
/** For one look at `/status`, milliseconds. */
const LOOK_MS = 5_000;

/**
 * Sends the config as a string inside JSON, because only then is Kong's hash of it known before
 * (the MD5 of the text), and is not satisfied until `/status` reports that hash. Kong not started
 * yet, busy or failing (refused connections, 429, 5xx) is waited for. Kong replaces its config as a
 * whole or not at all.
 *
 * A config that is not valid UTF-8 (Kong itself never checks) would be damaged as a string. It is
 * sent as the request's body instead; its hash cannot be foreseen, so it is sent again by every run
 * and confirmed only by `/status` reporting some config.
 */
export class AdminTarget implements Target {
  readonly name: string;
  readonly #options: AdminTargetOptions;

  constructor(options: AdminTargetOptions) {
    this.name = options.client.url;
    this.#options = options;
  }

  async apply(snapshot: Snapshot, signal: AbortSignal): Promise<"applied" | "unchanged"> {
    const { timeoutMs, clock, random, log } = this.#options;
    const load = prepareConfigLoad(snapshot.config);
    if (load.expectedHash === undefined) {
      log.warn(
        { target: this.name },
        "config is not valid UTF-8, sending it in a form whose hash cannot be foreseen",
      );
    }
    let isLoaded = false;
    try {
      return await keepTryingWithin(
        { ms: timeoutMs, timedOut: () => this.#timedOut(snapshot.config.length) },
        {
          backoff: BACKOFF,
          clock,
          random,
          onRetry: (error, attempt, delayMs) =>
            log.info(
              { err: error, target: this.name, attempt, delayMs },
              "target is not ready, trying again",
            ),
        },
        signal,
        async (attemptSignal) => {
          // A lost answer to an earlier POST may have been a success: look before sending again.
          if (await this.#holds(load, isLoaded, attemptSignal)) {
            return isLoaded ? "applied" : "unchanged";
          }
          if (!isLoaded) {
            const result = await this.#options.client.loadConfig(load.body, attemptSignal);
            if (result === "unchanged") return "unchanged";
            isLoaded = true;
            if (await this.#holds(load, isLoaded, attemptSignal)) return "applied";
          }
          throw this.#unconfirmed(load);
        },
      );
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof AdminError)) throw error;
      throw this.#explain(error, refusesConfig(error) && (await this.#isEmpty(signal)));
    }
  }

  /** Never: what a DB-less Kong holds is what it serves. */
  async withdraw(): Promise<boolean> {
    return false;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#options.client[Symbol.asyncDispose]();
  }

  async #holds(load: ConfigLoad, isLoaded: boolean, signal: AbortSignal): Promise<boolean> {
    const hash = await this.#options.client.configurationHash(signal);
    if (load.expectedHash !== undefined) return hash === load.expectedHash;
    return isLoaded && hash !== undefined && !isEmptyHash(hash);
  }

  /** As far as is known. */
  async #isEmpty(signal: AbortSignal): Promise<boolean> {
    const { client, clock } = this.#options;
    try {
      const ask = (both: AbortSignal) => client.configurationHash(both);
      const hash = await inTime(LOOK_MS, clock, signal, ask);
      return hash !== undefined && isEmptyHash(hash);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof AdminError)) throw error;
      return false;
    }
  }

  #explain(error: AdminError, leftEmpty: boolean): TargetError {
    return new TargetError(
      error.retryable ? "TARGET_UNAVAILABLE" : "TARGET_REFUSED",
      `could not load the config into Kong: ${error.message}`,
      { cause: error, leftEmpty, ...(error.hint === undefined ? {} : { hint: error.hint }) },
    );
  }

  #unconfirmed(load: ConfigLoad): TargetError {
    const expected = load.expectedHash === undefined ? "a config" : `the hash ${load.expectedHash}`;
    return new TargetError(
      "TARGET_NOT_CONFIRMED",
      `Kong at ${this.name} accepted the config, but its /status does not report ${expected}`,
      {
        retryable: true,
        hint: "Look into Kong's error log, and whether somebody else loads configs into this Kong.",
      },
    );
  }

  #timedOut(bytes: number): TargetError {
    const { timeoutMs } = this.#options;
    return new TargetError(
      "TARGET_UNAVAILABLE",
      `Kong at ${this.name} did not finish loading ${bytes} bytes within ${timeoutMs / 1000} s`,
      {
        hint: "It may still be loading: look at its /status and its error log. If it only needs longer, raise KONG_FALLBACK_APPLY_TIMEOUT.",
      },
    );
  }
}
