/** What connections and attempts show of the control plane, and the state that follows for all data planes together. */

import type { Clock } from "../../core/clock.ts";
import type { ServiceError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { DialedConnection } from "../../source/port.ts";

export type UpstreamState =
  /** Nothing is known yet. */
  | { readonly kind: "connecting"; readonly since: Date }
  | { readonly kind: "live"; readonly since: Date }
  /** The control plane is lost; `error` says how it failed last. */
  | { readonly kind: "fallback"; readonly since: Date; readonly error: ServiceError };

export interface EvidenceOptions {
  readonly initial: UpstreamState;
  /** The shortest hold: see RecoveryTime. Milliseconds. */
  readonly recoveryMs: number;
  /** Versions for which there is a snapshot now. */
  readonly served: () => readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  /** Called with each state after the initial one. */
  readonly onState: (state: UpstreamState) => void;
  /** A lost control plane answers: the hold begins. */
  readonly onAnswer: () => void;
}

export class UpstreamEvidence {
  readonly #options: EvidenceOptions;
  #state: UpstreamState;
  readonly #open = new Set<DialedConnection>();
  /** Those of them that have brought a config. */
  readonly #delivering = new Set<DialedConnection>();
  /** When the control plane was last seen to be there, by the monotonic clock. */
  #seenAtMs: number;
  #mustDeliver = false;
  /** In `fallback`: since when it has been answering, by the monotonic clock. */
  #answeringSinceMs: number | undefined;
  readonly #recoveryTime: RecoveryTime;

  constructor(options: EvidenceOptions) {
    this.#options = options;
    this.#state = options.initial;
    this.#seenAtMs = options.clock.monotonicMs();
    this.#recoveryTime = new RecoveryTime(options.recoveryMs);
  }

  get state(): UpstreamState {
    return this.#state;
  }

  /** Whether an attempt made now is expected to succeed, or nothing is known. */
  get isAnswering(): boolean {
    return this.#state.kind !== "fallback" || this.#answeringSinceMs !== undefined;
  }

  /** It accepted connections and sent no config: only a config shows that it is back. */
  get mustDeliver(): boolean {
    return this.#mustDeliver;
  }

  /** Whether one of the connections that are up has brought a config. */
  get isDelivering(): boolean {
    return this.#delivering.size > 0;
  }

  get isConnected(): boolean {
    return this.#open.size > 0;
  }

  /** For how long nothing has shown that it is there, milliseconds. */
  get idleMs(): number {
    return this.isConnected ? 0 : this.#options.clock.monotonicMs() - this.#seenAtMs;
  }

  /** How much longer a lost control plane must go on answering to count as back, milliseconds; infinite while it does not answer. */
  get holdMs(): number {
    if (this.#answeringSinceMs === undefined) return Number.POSITIVE_INFINITY;
    const nowMs = this.#options.clock.monotonicMs();
    return this.#recoveryTime.ms(nowMs) - (nowMs - this.#answeringSinceMs);
  }

  opened(connection: DialedConnection): void {
    this.#open.add(connection);
    this.answered();
  }

  /** Where it was the last one, the hold starts anew. */
  closed(connection: DialedConnection): void {
    if (!this.#open.delete(connection)) return;
    this.#delivering.delete(connection);
    if (this.isConnected) return;
    this.#seenAtMs = this.#options.clock.monotonicMs();
    this.#relapse();
  }

  /** An attempt succeeded. */
  answered(): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#seenAtMs = nowMs;
    if (this.#mustDeliver) return;
    if (this.#state.kind === "connecting") this.#becomeLive();
    if (this.#state.kind !== "fallback" || this.#answeringSinceMs !== undefined) return;
    this.#answeringSinceMs = nowMs;
    this.#options.onAnswer();
  }

  /** A config came over this connection. */
  delivered(connection: DialedConnection): void {
    if (!this.#open.has(connection)) return;
    this.#delivering.add(connection);
    this.gave();
  }

  /** It gives configs. */
  gave(): void {
    this.#mustDeliver = false;
    this.answered();
  }

  /** An attempt failed for good. Where a connection is up, it was no more than that. */
  lost(error: ServiceError): void {
    if (!this.isConnected) this.#fall(error);
  }

  /** It gives nobody a config. */
  withheld(error: ServiceError): void {
    this.#mustDeliver = true;
    this.#fall(error);
  }

  /** The hold is over. */
  recovered(): void {
    if (this.#state.kind === "fallback") this.#becomeLive();
  }

  #becomeLive(): void {
    this.#answeringSinceMs = undefined;
    this.#become({ kind: "live", since: this.#options.clock.now() });
  }

  #fall(error: ServiceError): void {
    const { clock, log, served } = this.#options;
    this.#relapse();
    if (this.#state.kind === "fallback") {
      this.#state = { ...this.#state, error };
      return;
    }
    this.#recoveryTime.lost(clock.monotonicMs());
    const recoveryMs = this.#recoveryTime.ms(clock.monotonicMs());
    const fields = { err: error, recoveryMs, served: served() };
    log.warn(fields, fields.served.length > 0 ? LOST : LOST_WITHOUT);
    this.#become({ kind: "fallback", since: clock.now(), error });
  }

  #relapse(): void {
    if (this.#answeringSinceMs === undefined) return;
    this.#answeringSinceMs = undefined;
    this.#recoveryTime.relapsed(this.#options.clock.monotonicMs());
  }

  #become(state: UpstreamState): void {
    this.#state = state;
    this.#options.onState(state);
  }
}

const LOST = "control plane lost, new data planes are served from the snapshot";
const LOST_WITHOUT = "control plane lost, and there is no snapshot for new data planes";

const QUIET_MS = 10 * 60_000;
const LONGEST_MS = 5 * 60_000;

/**
 * How long a control plane that comes and goes must stay before it is trusted again. The first loss costs `recoveryMs`; each one less than 10 minutes after the last trouble doubles
 * it, up to 5 minutes. Trouble is a loss or a relapse; after 10 minutes without any it is
 * `recoveryMs` again.
 */
export class RecoveryTime {
  readonly #recoveryMs: number;
  #currentMs: number;
  #troubleAtMs = Number.NEGATIVE_INFINITY;

  constructor(recoveryMs: number) {
    this.#recoveryMs = recoveryMs;
    this.#currentMs = recoveryMs;
  }

  /** It failed though it was trusted. `nowMs`: monotonic, as below. */
  lost(nowMs: number): void {
    const doubled = Math.max(this.#recoveryMs, Math.min(this.#currentMs * 2, LONGEST_MS));
    this.#currentMs = this.#isQuiet(nowMs) ? this.#recoveryMs : doubled;
    this.#troubleAtMs = nowMs;
  }

  /** It answered, and failed before it was trusted. */
  relapsed(nowMs: number): void {
    this.#troubleAtMs = nowMs;
  }

  ms(nowMs: number): number {
    return this.#isQuiet(nowMs) ? this.#recoveryMs : this.#currentMs;
  }

  #isQuiet(nowMs: number): boolean {
    return nowMs - this.#troubleAtMs >= QUIET_MS;
  }
}
