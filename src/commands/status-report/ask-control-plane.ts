/** What the control plane has now: one short session in the way of a data plane. */

import type { BackoffPolicy } from "../../core/backoff.ts";
import type { Clock } from "../../core/clock.ts";
import type { ServiceError } from "../../core/errors.ts";
import { retryWithin } from "../../importer/retry.ts";
import type { ConfigUpdate } from "../../kong/reconfigure.ts";
import { type ConfigSource, SourceError } from "../../source/port.ts";

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
  return retryWithin(
    {
      budgetMs: timeoutMs,
      backoff: BACKOFF,
      clock,
      random,
      timedOut: () =>
        new SourceError(
          "SOURCE_UNREACHABLE",
          `the control plane ${source.name} sent no config within ${timeoutMs / 1000} s`,
          { hint: "If it only answers slowly, raise KONG_FALLBACK_PROBE_TIMEOUT." },
        ),
      onRetry: () => {},
    },
    signal,
    (attemptSignal) => firstConfig(source, attemptSignal),
  );
}

async function firstConfig(source: ConfigSource, signal: AbortSignal): Promise<ConfigUpdate> {
  let diagnosis: ServiceError | undefined;
  try {
    for await (const event of source.watch(signal)) {
      switch (event.kind) {
        case "connected":
          break;
        case "config":
          return event.update;
        case "rejected":
        case "withheld":
          diagnosis = event.error;
          break;
        default:
          event satisfies never;
      }
    }
  } catch (error) {
    // The time is up: what was said meanwhile explains more.
    if (signal.aborted && diagnosis !== undefined) throw diagnosis;
    throw error;
  }
  throw new SourceError("SOURCE_LOST", `the control plane ${source.name} ended the session`);
}
