/** Lets a config become current only once it was loaded somewhere, where that is to be had: one rehearsal for all stores. */

import { type ErrorDetails, ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { raced, Scope, Slots } from "../core/waiting.ts";
import type { Candidate, Gate, GateAnswer } from "./gates.ts";
import type { GateMetrics } from "./metrics.ts";
import type { ReceivedConfig } from "./received-config.ts";

/** Port to whatever loads a config to see whether it can be restored. */
export interface Rehearser {
  /** Loads the config and waits until it is served. One at a time; no retry inside. Rejects with RehearsalError, or with `signal.reason`. */
  rehearse(config: Uint8Array, signal: AbortSignal): Promise<RehearsalResult>;
}

/** What came of it. `reasons`: one line for each error, without values of the config. */
export type RehearsalResult =
  | { readonly kind: "passed" }
  | { readonly kind: "refused"; readonly reasons: readonly string[] };

/**
 * - `REHEARSAL_UNAVAILABLE`: the Kong of KONG_FALLBACK_REHEARSAL_URL does not answer, fails, is busy, or did not show the config in time. Retried; with `required` nothing is saved until then.
 * - `REHEARSAL_MISCONFIGURED`: it is of another version, has a database, denies us, takes no body that long, or is no Admin API. Retried all the same, for it may be mended.
 */
export type RehearsalErrorCode = "REHEARSAL_UNAVAILABLE" | "REHEARSAL_MISCONFIGURED";

export class RehearsalError extends ServiceError {
  readonly code: RehearsalErrorCode;
  readonly exitStatus = 4;

  constructor(code: RehearsalErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, { retryable: true, ...details });
    this.code = code;
  }
}

export interface RehearsalOptions {
  readonly rehearser: Rehearser;
  /** `best-effort`: what cannot be rehearsed now passes. */
  readonly mode: "required" | "best-effort";
  readonly log: Log;
  readonly metrics: Pick<GateMetrics, "rehearsed">;
}

/** What the log tells of one refusal. */
const MAX_LOGGED_REASONS = 100;

/**
 * Of one Kong version, for the writers of all stores. The answer for a config stays until another one
 * was rehearsed, or the process ends; that none could be had stays, with `best-effort`, until the
 * config arrives anew, and with `required` not at all: it rejects with RehearsalError, and is to be
 * asked again.
 */
export class Rehearsal implements Gate {
  readonly name = "rehearsal";
  readonly #options: RehearsalOptions;
  /** By the config's id. */
  readonly #underWay = new Map<string, SharedWork<GateAnswer>>();
  #last: { readonly id: string; readonly answer: GateAnswer } | undefined;
  readonly #passedOver = new WeakSet<ReceivedConfig>();
  /** There is one Kong: never two configs at a time. */
  readonly #turn = new Slots(1);
  #hasWarned = false;

  constructor(options: RehearsalOptions) {
    this.#options = options;
  }

  async examine({ config, isRehearsed }: Candidate, signal: AbortSignal): Promise<GateAnswer> {
    if (isRehearsed) return { kind: "pass", rehearsed: true };
    const known = this.#known(config);
    if (known !== undefined) return known;
    const { id } = config;
    let work = this.#underWay.get(id);
    if (work === undefined || work.isAbandoned) {
      work = new SharedWork((over) =>
        this.#turn.within(over, async () => this.#known(config) ?? this.#rehearse(config, over)),
      );
      this.#underWay.set(id, work);
    }
    try {
      return await work.wait(signal);
    } finally {
      if (this.#underWay.get(id) === work) this.#underWay.delete(id);
    }
  }

  #known(config: ReceivedConfig): GateAnswer | undefined {
    if (this.#last?.id === config.id) return this.#last.answer;
    return this.#passedOver.has(config) ? { kind: "pass", rehearsed: false } : undefined;
  }

  async #rehearse(config: ReceivedConfig, signal: AbortSignal): Promise<GateAnswer> {
    const { rehearser, mode, log, metrics } = this.#options;
    const { configHash, configTable } = config.update;
    let result: RehearsalResult;
    try {
      result = await rehearser.rehearse(configTable, signal);
    } catch (error) {
      if (!(error instanceof RehearsalError)) throw error;
      metrics.rehearsed("failed");
      if (mode === "required") throw error;
      const fields = { err: error, configHash };
      if (this.#hasWarned) log.debug(fields, "config not rehearsed, saved all the same");
      else log.warn(fields, "configs cannot be rehearsed, they are saved all the same");
      this.#hasWarned = true;
      this.#passedOver.add(config);
      return { kind: "pass", rehearsed: false };
    }
    metrics.rehearsed(result.kind);
    this.#hasWarned = false;
    const answer = this.#conclude(result, configHash);
    this.#last = { id: config.id, answer };
    return answer;
  }

  #conclude(result: RehearsalResult, configHash: string | undefined): GateAnswer {
    const { log } = this.#options;
    if (result.kind === "passed") {
      log.info({ configHash }, "config rehearsed: a Kong has loaded it");
      return { kind: "pass", rehearsed: true };
    }
    const reasons = result.reasons.slice(0, MAX_LOGGED_REASONS);
    log.error(
      { configHash, errors: result.reasons.length, reasons },
      "Kong refuses the config in the rehearsal, it could not be restored",
    );
    return { kind: "held", reasons };
  }
}

/** One piece of work for several who wait for it: it goes on as long as one of them does. */
class SharedWork<T> {
  readonly #scope = new Scope();
  readonly #result: Promise<T>;
  #waiters = 0;

  /** Begins at once. `work` should end soon when its signal aborts. */
  constructor(work: (signal: AbortSignal) => Promise<T>) {
    this.#result = work(this.#scope.signal);
  }

  /** Whether nobody waits any more, though somebody did: it is not to be joined. */
  get isAbandoned(): boolean {
    return this.#scope.isOver;
  }

  /** Resolves or rejects as the work does; earlier, with `signal.reason`, where the signal aborts. */
  async wait(signal: AbortSignal): Promise<T> {
    this.#waiters += 1;
    try {
      return await raced(signal, this.#result);
    } finally {
      this.#waiters -= 1;
      if (this.#waiters === 0) this.#scope.end();
    }
  }
}
