/** Stays connected to a source: one session after the other, for ever, without ever hammering it. */

import type { Clock } from "../core/clock.ts";
import { FailureNews } from "../core/failure-news.ts";
import type { Log } from "../core/log.ts";
import { Backoff, type BackoffPolicy, retryAfterMsOf } from "../core/trying.ts";
import { type Bell, Scope } from "../core/waiting.ts";
import { type ConfigSource, SourceError, type SourceEvent } from "../source/port.ts";

/** Between sessions, while trying again may help. */
const RECONNECT: BackoffPolicy = { minMs: 1_000, maxMs: 10_000 };
/** After a refusal that only an operator can mend: often enough to notice the mending. */
const RECONNECT_REFUSED: BackoffPolicy = { minMs: 45_000, maxMs: 90_000 };
/** Longest `Retry-After` obeyed: a nonsensical one must not stop the backups for a day. */
const MAX_RETRY_AFTER_MS = 10 * 60_000;
/** A session at least this long was a good one: the next failure starts the back-off anew. */
const GOOD_SESSION_MS = 10_000;

/** Why a session was ended here. */
const RENEWED = new Error("renewed");

export interface FollowOptions {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
}

/**
 * Hands every event of every session to `onEvent`, in order; `onLost` is called when a session ends.
 * Whenever `renew` is rung, the one under way is ended, and the next is begun at once. Ends only by rejecting: with `signal.reason`, or with whatever is no SourceError.
 */
export async function follow(
  source: ConfigSource,
  onEvent: (event: SourceEvent) => void,
  onLost: () => void,
  renew: Bell,
  { clock, random, log }: FollowOptions,
  signal: AbortSignal,
): Promise<never> {
  const news = new FailureNews(clock);
  const backoff = new Backoff(random);
  for (;;) {
    const startedAtMs = clock.monotonicMs();
    let error = new SourceError("SOURCE_LOST", `${source.name} ended the session`);
    using session = new Scope(signal);
    renew.wait(session.signal).then(
      () => session.end(RENEWED),
      () => {},
    );
    try {
      for await (const event of source.watch(session.signal)) onEvent(event);
    } catch (failure) {
      if (failure !== RENEWED && !(failure instanceof SourceError)) throw failure;
      if (failure instanceof SourceError) error = failure;
    }
    signal.throwIfAborted();
    onLost();
    if (session.signal.reason === RENEWED) continue;
    if (clock.monotonicMs() - startedAtMs >= GOOD_SESSION_MS) {
      backoff.succeeded();
      news.end();
    }
    const policy = error.retryable ? RECONNECT : RECONNECT_REFUSED;
    const asked = Math.min(retryAfterMsOf(error), MAX_RETRY_AFTER_MS);
    const retryInMs = backoff.failed(policy, asked);
    const fields = { err: error, attempt: backoff.failures, retryInMs };
    if (!news.isNews(error.message)) log.debug(fields, "control plane still not available");
    else if (error.retryable) log.warn(fields, "control plane not available, will try again");
    else log.error(fields, "control plane refuses, an operator must act");
    await clock.sleep(retryInMs, signal);
  }
}
