/** Lets a config become current only once it was loaded somewhere, where that is to be had: one rehearsal for all stores. */

import type { Log } from "../core/log.ts";
import type { Candidate, Gate, Verdict } from "./admission.ts";
import type { Arrival } from "./arrival.ts";
import type { AdmissionMetrics } from "./metrics.ts";
import { RehearsalError, type Rehearser } from "./rehearser.ts";
import { SharedRun } from "./shared-run.ts";

export interface RehearsalOptions {
  readonly rehearser: Rehearser;
  /** `best-effort`: what cannot be rehearsed now passes. */
  readonly mode: "required" | "best-effort";
  readonly log: Log;
  readonly metrics: Pick<AdmissionMetrics, "rehearsed">;
}

/** What the log tells of one refusal. */
const MAX_LOGGED_REASONS = 100;

/**
 * Of one Kong version, for the writers of all stores. The verdict on a config stays until another one
 * was rehearsed, or the process ends; that none could be had stays, with `best-effort`, until the
 * config arrives anew, and with `required` not at all: it rejects with RehearsalError, and is to be
 * asked again.
 */
export class Rehearsal implements Gate {
  readonly name = "rehearsal";
  readonly #options: RehearsalOptions;
  readonly #runs = new Map<string, SharedRun<Verdict>>();
  #last: { readonly id: string; readonly verdict: Verdict } | undefined;
  readonly #passedOver = new WeakSet<Arrival>();
  /** There is one Kong: never two configs at a time. */
  #turn: Promise<void> = Promise.resolve();
  #hasWarned = false;

  constructor(options: RehearsalOptions) {
    this.#options = options;
  }

  async examine({ arrival, isRehearsed }: Candidate, signal: AbortSignal): Promise<Verdict> {
    if (isRehearsed) return { kind: "pass", rehearsed: true };
    const { id } = arrival;
    const known = this.#recall(arrival);
    if (known !== undefined) return known;
    let run = this.#runs.get(id);
    if (run === undefined || run.isAbandoned) {
      run = this.#begin(arrival);
      this.#runs.set(id, run);
    }
    try {
      return await run.wait(signal);
    } finally {
      if (this.#runs.get(id) === run) this.#runs.delete(id);
    }
  }

  #recall(arrival: Arrival): Verdict | undefined {
    if (this.#last?.id === arrival.id) return this.#last.verdict;
    return this.#passedOver.has(arrival) ? { kind: "pass", rehearsed: false } : undefined;
  }

  #begin(arrival: Arrival): SharedRun<Verdict> {
    const before = this.#turn;
    const run = new SharedRun(async (signal) => {
      await before;
      signal.throwIfAborted();
      return this.#recall(arrival) ?? (await this.#rehearse(arrival, signal));
    });
    this.#turn = run.ended();
    return run;
  }

  async #rehearse(arrival: Arrival, signal: AbortSignal): Promise<Verdict> {
    const { rehearser, mode, log, metrics } = this.#options;
    const { configHash } = arrival.update;
    try {
      const result = await rehearser.rehearse(arrival.update.configTable, signal);
      metrics.rehearsed(result.kind);
      this.#hasWarned = false;
      const verdict = this.#verdictOn(result);
      this.#last = { id: arrival.id, verdict };
      if (result.kind === "passed") {
        log.info({ configHash }, "config rehearsed: a Kong has loaded it");
      } else {
        const reasons = result.reasons.slice(0, MAX_LOGGED_REASONS);
        log.error(
          { configHash, errors: result.reasons.length, reasons },
          "Kong refuses the config in the rehearsal, it could not be restored",
        );
      }
      return verdict;
    } catch (error) {
      if (!(error instanceof RehearsalError)) throw error;
      metrics.rehearsed("failed");
      if (mode === "required") throw error;
      const fields = { err: error, configHash };
      if (this.#hasWarned) log.debug(fields, "config not rehearsed, saved all the same");
      else log.warn(fields, "configs cannot be rehearsed, they are saved all the same");
      this.#hasWarned = true;
      this.#passedOver.add(arrival);
      return { kind: "pass", rehearsed: false };
    }
  }

  #verdictOn(result: Awaited<ReturnType<Rehearser["rehearse"]>>): Verdict {
    return result.kind === "passed"
      ? { kind: "pass", rehearsed: true }
      : { kind: "held", reasons: result.reasons.slice(0, MAX_LOGGED_REASONS) };
  }
}
