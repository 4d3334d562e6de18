/** Asks whether the control plane is there, the way a data plane would: by opening a session with it. */

import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { type BackoffPolicy, keepTryingWithin } from "../core/trying.ts";
import type { ConfigUpdate } from "../kong/reconfigure.ts";
import { type ConfigSource, SourceError } from "../source/port.ts";

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
 * snapshot. Rejects only with `signal.reason`, or with what is no ServiceError.
 */
export async function probeControlPlane(
  source: ConfigSource,
  options: ProbeOptions,
  signal: AbortSignal,
): Promise<ProbeResult> {
  let attempts = 0;
  const onAttempt = (): void => {
    attempts += 1;
  };
  try {
    await awaitAnswer(source, { ...options, onAttempt }, signal);
    return { kind: "reachable", attempts };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ServiceError) return { kind: "unreachable", attempts, error };
    throw error;
  }
}

/** The config the control plane has now. Rejects with a ServiceError that says why none comes, or with `signal.reason`. */
export async function fetchConfig(
  source: ConfigSource,
  options: Omit<ProbeOptions, "mode">,
  signal: AbortSignal,
): Promise<ConfigUpdate> {
  const update = await awaitAnswer(source, { ...options, mode: "config" }, signal);
  if (update === undefined) throw new TypeError("no config was waited for");
  return update;
}

/**
 * Opens sessions until one has shown what `mode` asks for: resolves to the config, undefined for a
 * mere handshake; breaking off there sends nothing. `withheld` and `rejected` do not end the wait for
 * a config, because a control plane may still push. If the time is up in such a session, what it said
 * is the error, for it explains more than the silence or an earlier failure.
 */
async function awaitAnswer(
  source: ConfigSource,
  options: ProbeOptions & { readonly onAttempt?: () => void },
  signal: AbortSignal,
): Promise<ConfigUpdate | undefined> {
  const { mode, timeoutMs, clock, random, log, onAttempt } = options;
  /** Of the session that is open. */
  let complaint: ServiceError | undefined;
  const attempt = async (both: AbortSignal): Promise<ConfigUpdate | undefined> => {
    onAttempt?.();
    try {
      return await watchOnce(source, mode, both, (error) => {
        complaint = error;
      });
    } finally {
      if (!both.aborted) complaint = undefined;
    }
  };
  try {
    return await keepTryingWithin(
      { ms: timeoutMs, timedOut: () => silence(source, mode, timeoutMs) },
      {
        backoff: BACKOFF,
        clock,
        random,
        onRetry: (error, number, delayMs) =>
          log.debug(
            { err: error, controlPlane: source.name, attempt: number, delayMs },
            "control plane did not answer, trying again",
          ),
      },
      signal,
      attempt,
    );
  } catch (error) {
    signal.throwIfAborted();
    throw complaint ?? error;
  }
}

async function watchOnce(
  source: ConfigSource,
  mode: ProbeMode,
  signal: AbortSignal,
  onComplaint: (error: ServiceError) => void,
): Promise<ConfigUpdate | undefined> {
  for await (const event of source.watch(signal)) {
    switch (event.kind) {
      case "connected":
        if (mode === "handshake") return undefined;
        break;
      case "config":
        return event.update;
      case "rejected":
      case "withheld":
      case "unconfirmed":
        onComplaint(event.error);
        break;
      case "confirmed":
        break;
      default:
        event satisfies never;
    }
  }
  throw new SourceError("SOURCE_LOST", `the control plane ${source.name} ended the session`);
}

/** The time was up, and nothing had been said. */
function silence(source: ConfigSource, mode: ProbeMode, timeoutMs: number): SourceError {
  const missing = mode === "handshake" ? "did not answer" : "sent no config";
  return new SourceError(
    "SOURCE_UNREACHABLE",
    `the control plane ${source.name} ${missing} within ${timeoutMs / 1000} s`,
    { hint: "If it only answers slowly, raise KONG_FALLBACK_PROBE_TIMEOUT." },
  );
}
