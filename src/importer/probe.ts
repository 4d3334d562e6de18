/** Asks whether the control plane is there, the way a data plane would: by opening a session with it. */

import type { BackoffPolicy } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { ConfigUpdate } from "../kong/reconfigure.ts";
import { type ConfigSource, SourceError } from "../source/port.ts";
import { retryWithin } from "./retry.ts";

/**
 * What counts as reachable. `handshake`: TCP, TLS and the WebSocket upgrade succeed. `config`: a
 * config arrives too, so that a control plane without its database counts as down.
 */
export type ProbeMode = "handshake" | "config";

export interface ProbeOptions {
  readonly mode: ProbeMode;
  /** For all attempts together, milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

export type ProbeResult =
  | { readonly kind: "reachable"; readonly attempts: number }
  | { readonly kind: "unreachable"; readonly attempts: number; readonly error: ServiceError };

/** A data plane itself waits 5 to 10 s: Kong/kong@3.9.1 kong/clustering/data_plane.lua. Whoever starts one has less patience. */
const BACKOFF: BackoffPolicy = { minMs: 500, maxMs: 3_000 };

/**
 * One answer within `timeoutMs`; the source is left open for its owner to dispose of. A refusal
 * that waiting will not cure (TLS, version, proxy) is `unreachable` at once: the data plane would be
 * refused as well, and importing does no harm, since a control plane that delivers wins over a
 * snapshot. In mode `config`, `withheld` and `rejected` do not end the wait, because a control plane
 * may still push; if nothing follows they are the `error`. Rejects only with `signal.reason`, or
 * with what is no ServiceError.
 */
export async function probeControlPlane(
  source: ConfigSource,
  options: ProbeOptions,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const { mode, timeoutMs, clock, random, log } = options;
  let attempts = 0;
  try {
    await retryWithin(
      {
        budgetMs: timeoutMs,
        backoff: BACKOFF,
        clock,
        random,
        timedOut: () => silence(source, mode, timeoutMs),
        onRetry: (error, attempt, delayMs) =>
          log.debug(
            { err: error, controlPlane: source.name, attempt, delayMs },
            "control plane did not answer, trying again",
          ),
      },
      signal,
      (attemptSignal) => {
        attempts += 1;
        return awaitAnswer(source, mode, attemptSignal);
      },
    );
    return { kind: "reachable", attempts };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ServiceError) return { kind: "unreachable", attempts, error };
    throw error;
  }
}

/**
 * One session, until it has shown what `mode` asks for: resolves to the config, undefined for a mere
 * handshake; breaking off there sends nothing. If the time is up first, what the session said
 * meanwhile is the error, for it explains more.
 */
export async function awaitAnswer(
  source: ConfigSource,
  mode: ProbeMode,
  signal: AbortSignal,
): Promise<ConfigUpdate | undefined> {
  let diagnosis: ServiceError | undefined;
  try {
    for await (const event of source.watch(signal)) {
      switch (event.kind) {
        case "connected":
          if (mode === "handshake") return undefined;
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
    if (signal.aborted && diagnosis !== undefined) throw diagnosis;
    throw error;
  }
  throw new SourceError("SOURCE_LOST", `the control plane ${source.name} ended the session`);
}

/** The time was up, and nothing had been said. */
export function silence(source: ConfigSource, mode: ProbeMode, timeoutMs: number): SourceError {
  const missing = mode === "handshake" ? "did not answer" : "sent no config";
  return new SourceError(
    "SOURCE_UNREACHABLE",
    `the control plane ${source.name} ${missing} within ${timeoutMs / 1000} s`,
    { hint: "If it only answers slowly, raise KONG_FALLBACK_PROBE_TIMEOUT." },
  );
}
