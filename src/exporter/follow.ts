/** Stays connected to a source: one session after the other, for ever, without ever hammering it. */

import { type BackoffPolicy, backoffMs } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import { FailureNews } from "../core/failure-news.ts";
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
  const { clock, random, log } = options;
  const news = new FailureNews(clock);
  let failures = 0;
  for (;;) {
    const startedAt = clock.monotonicMs();
    const error = await session(source, onEvent, signal);
    signal.throwIfAborted();
    onLost();
    if (clock.monotonicMs() - startedAt >= GOOD_SESSION_MS) {
      failures = 0;
      news.end();
    }
    const policy = error.retryable ? RECONNECT : RECONNECT_REFUSED;
    const delayMs = Math.max(
      backoffMs(policy, failures, random),
      Math.min(error.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS),
    );
    failures += 1;
    report(error, { attempt: failures, retryInMs: delayMs }, news, log);
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

function report(
  error: SourceError,
  next: { readonly attempt: number; readonly retryInMs: number },
  news: FailureNews,
  log: Log,
): void {
  const fields = { err: error, ...next };
  if (!news.isNews(error.message)) log.debug(fields, "control plane still not available");
  else if (error.retryable) log.warn(fields, "control plane not available, will try again");
  else log.error(fields, "control plane refuses, an operator must act");
}
