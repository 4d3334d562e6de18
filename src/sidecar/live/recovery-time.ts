/** How long a control plane that comes and goes must stay before it is trusted again. */

const QUIET_MS = 10 * 60_000;
const LONGEST_MS = 5 * 60_000;

/**
 * The first loss costs `recoveryMs`; each one less than 10 minutes after the last trouble doubles
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
