/** Stays connected to a source: one session after the other, for ever, without ever hammering it. */

import { type BackoffPolicy, backoffMs } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { type ConfigSource, SourceError, type SourceEvent } from "../source/port.ts";

/** Between sessions, while trying again may help. */
const RECONNECT: BackoffPolicy = { minMs: 1_000, maxMs: 10_000 };
/** After a refusal that only an operator can mend: often enough to notice the mending. */
const RECONNECT_REFUSED: BackoffPolicy = { minMs: 45_000, maxMs: 90_000 };
/** Longest `Retry-After` obeyed: a nonsensical one must not stop the backups for a day. */
const MAX_RETRY_AFTER_MS = 10 * 60_000;
/** A session at least this long was a good one: the next failure starts the back-off anew. */
const GOOD_SESSION_MS = 10_000;
/** The same failure again is worth a line this often. */
const REPEAT_LOG_MS = 5 * 60_000;

export interface FollowOptions {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
}

/**
 * Hands every event of every session to `onEvent`, in order; `onLost` is called when a session ends.
 * Ends only by rejecting: with `signal.reason`, or with whatever is no SourceError.
 */
export async function follow(
  source: ConfigSource,
  onEvent: (event: SourceEvent) => void,
  onLost: () => void,
  options: FollowOptions,
  signal: AbortSignal,
): Promise<never> {
  const { clock, random } = options;
  const report = new FailureReport(options);
  let failures = 0;
  for (;;) {
    const startedAt = clock.monotonicMs();
    const error = await session(source, onEvent, signal);
    signal.throwIfAborted();
    onLost();
    if (clock.monotonicMs() - startedAt >= GOOD_SESSION_MS) failures = 0;
    const policy = error.retryable ? RECONNECT : RECONNECT_REFUSED;
    const delayMs = Math.max(
      backoffMs(policy, failures, random),
      Math.min(error.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS),
    );
    failures += 1;
    report.failed(error, failures, delayMs);
    await clock.sleep(delayMs, signal);
  }
}

/** How the session ended. */
async function session(
  source: ConfigSource,
  onEvent: (event: SourceEvent) => void,
  signal: AbortSignal,
): Promise<SourceError> {
  try {
    for await (const event of source.watch(signal)) onEvent(event);
    return new SourceError("SOURCE_LOST", `${source.name} ended the session`);
  } catch (error) {
    if (error instanceof SourceError) return error;
    throw error;
  }
}

/** Says a failure once, then only every now and then: an outage must not bury the log. */
class FailureReport {
  readonly #options: FollowOptions;
  #lastMessage = "";
  #lastAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: FollowOptions) {
    this.#options = options;
  }

  failed(error: SourceError, attempt: number, retryInMs: number): void {
    const { clock, log } = this.#options;
    const now = clock.monotonicMs();
    const isNews = error.message !== this.#lastMessage || attempt === 1;
    if (!isNews && now - this.#lastAtMs < REPEAT_LOG_MS) {
      log.debug({ err: error, attempt, retryInMs }, "control plane still not available");
      return;
    }
    this.#lastMessage = error.message;
    this.#lastAtMs = now;
    if (error.retryable) {
      log.warn({ err: error, attempt, retryInMs }, "control plane not available, will try again");
    } else {
      log.error({ err: error, attempt, retryInMs }, "control plane refuses, an operator must act");
    }
  }
}
