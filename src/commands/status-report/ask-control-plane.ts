/** What the control plane has now: one short session in the way of a data plane. */

import type { BackoffPolicy } from "../../core/backoff.ts";
import type { Clock } from "../../core/clock.ts";
import { awaitAnswer, silence } from "../../importer/probe.ts";
import { retryWithin } from "../../importer/retry.ts";
import type { ConfigUpdate } from "../../kong/reconfigure.ts";
import type { ConfigSource } from "../../source/port.ts";

export interface AskOptions {
  /** For all attempts together, milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

const BACKOFF: BackoffPolicy = { minMs: 500, maxMs: 3_000 };

/** The first config that comes. Rejects with a ServiceError that says why none does, or with `signal.reason`. */
export async function askControlPlane(
  source: ConfigSource,
  { timeoutMs, clock, random }: AskOptions,
  signal: AbortSignal,
): Promise<ConfigUpdate> {
  const update = await retryWithin(
    {
      budgetMs: timeoutMs,
      backoff: BACKOFF,
      clock,
      random,
      timedOut: () => silence(source, "config", timeoutMs),
      onRetry: () => {},
    },
    signal,
    (attemptSignal) => awaitAnswer(source, "config", attemptSignal),
  );
  if (update === undefined) throw new TypeError("no config was waited for");
  return update;
}
