/** Asks whether the control plane is there, the way a data plane would: by opening a session with it. */

import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { nodeCodeOf } from "../core/node-code.ts";
import { type BackoffPolicy, keepTryingWithin } from "../core/trying.ts";
import { orAborted, Scope } from "../core/waiting.ts";
import { type ConfigUpdate, FrameError } from "../kong/reconfigure.ts";
import { type ConfigSource, SourceError, type SourceErrorCode } from "../source/port.ts";

/**
 * What counts as reachable. `config`: a config arrives, so that a control plane that takes sessions and
 * gives nothing counts as down. `handshake`: TCP, TLS and the WebSocket upgrade succeed.
 */
export type ProbeMode = "handshake" | "config";

export interface ProbeOptions {
  readonly mode: ProbeMode;
  /** For all attempts together, milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  /**
   * Called once it is clear that nobody is there: for at least `ABSENT_AFTER_MS` every attempt, of two
   * or more, was refused or hung up on at once by every address, or the name does not exist. The question
   * goes on.
   */
  readonly onAbsent?: ((absence: Unreachable) => void) | undefined;
}

/** `error` says why. */
export interface Unreachable {
  readonly kind: "unreachable";
  readonly attempts: number;
  readonly error: ServiceError;
}

export type ProbeResult =
  | { readonly kind: "reachable"; readonly attempts: number }
  /** It lives, and gives data planes like this one nothing, for a reason that lies in them: their version, their plugins, the size that they take. */
  | { readonly kind: "withheld"; readonly attempts: number; readonly error: ServiceError }
  /** It takes sessions, and gives no config in them. */
  | { readonly kind: "silent"; readonly attempts: number; readonly error: ServiceError }
  | Unreachable;

/** A data plane itself waits 5 to 10 s: Kong/kong@3.9.1 kong/clustering/data_plane.lua. Whoever starts one has less patience. */
const BACKOFF: BackoffPolicy = { minMs: 500, maxMs: 3_000 };
/** Longer than a name takes to be known, or a listener to be replaced. */
export const ABSENT_AFTER_MS = 1_000;

/**
 * One answer within `timeoutMs`; the source is left open for its owner to dispose of. A refusal of the
 * handshake that waiting will not cure (TLS, certificate, proxy) is `unreachable` at once: it lets in
 * nobody who has this certificate. Rejects only with `signal.reason`, or with what is no ServiceError.
 */
export async function probeControlPlane(
  source: ConfigSource,
  options: ProbeOptions,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const seen: Seen = { attempts: 0, isConnected: false };
  try {
    await awaitAnswer(source, options, seen, signal);
    return { kind: "reachable", attempts: seen.attempts };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ServiceError)) throw error;
    const { attempts, isConnected } = seen;
    const kind = !isConnected ? "unreachable" : isOwnFault(error) ? "withheld" : "silent";
    return { kind, attempts, error };
  }
}

/** What the last session showed. */
interface Seen {
  attempts: number;
  /** It came to a session. */
  isConnected: boolean;
}

/** Of a session that came about: whether it gave no config for a reason that lies in whoever asked. */
function isOwnFault(error: ServiceError): boolean {
  if (error instanceof FrameError) return error.code === "FRAME_TOO_LARGE";
  return error instanceof SourceError && !error.retryable;
}

/** The config the control plane has now. Rejects with a ServiceError that says why none comes, or with `signal.reason`. */
export async function fetchConfig(
  source: ConfigSource,
  options: Omit<ProbeOptions, "mode">,
  signal: AbortSignal,
): Promise<ConfigUpdate> {
  const seen: Seen = { attempts: 0, isConnected: false };
  const update = await awaitAnswer(source, { ...options, mode: "config" }, seen, signal);
  if (update === undefined) throw new TypeError("no config was waited for");
  return update;
}

/**
 * Opens sessions until one has shown what `mode` asks for: resolves to the config, undefined for a
 * mere handshake; breaking off there sends nothing. `withheld` and `rejected` do not end the wait for
 * a config, because a control plane may still push; unless waiting will not cure why it is withheld.
 * If the time is up in such a session, what it said is the error, for it explains more than the silence
 * or an earlier failure.
 */
async function awaitAnswer(
  source: ConfigSource,
  options: ProbeOptions,
  seen: Seen,
  signal: AbortSignal,
): Promise<ConfigUpdate | undefined> {
  const { mode, timeoutMs, clock, random, log, onAbsent } = options;
  /** Of the session that is open. */
  let complaint: ServiceError | undefined;
  const attempt = async (both: AbortSignal): Promise<ConfigUpdate | undefined> => {
    seen.attempts += 1;
    seen.isConnected = false;
    try {
      return await watchOnce(source, mode, both, {
        connected: () => {
          seen.isConnected = true;
        },
        complains: (error) => {
          complaint = error;
        },
      });
    } finally {
      if (!both.aborted) complaint = undefined;
    }
  };
  using asking = new Scope(signal);
  const absence = new Absence(clock, asking.signal, (error) =>
    onAbsent?.({ kind: "unreachable", attempts: seen.attempts, error }),
  );
  let refusedSessions = 0;
  try {
    return await keepTryingWithin(
      { ms: timeoutMs, timedOut: () => silence(source, mode, timeoutMs) },
      {
        backoff: BACKOFF,
        clock,
        random,
        isWorthRetrying: (error) => {
          // A control plane that stops or reloads ends a new session as one does that refuses its version.
          const isRefused = seen.isConnected && isSourceError(error, "SOURCE_REFUSED");
          if (isRefused) refusedSessions += 1;
          return error.retryable || (isRefused && refusedSessions === 1);
        },
        onRetry: (error, number, delayMs) => {
          absence.note(error, seen.isConnected);
          log.debug(
            { err: error, controlPlane: source.name, attempt: number, delayMs },
            "control plane did not answer, trying again",
          );
        },
      },
      asking.signal,
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
  on: { readonly connected: () => void; readonly complains: (error: ServiceError) => void },
): Promise<ConfigUpdate | undefined> {
  for await (const event of source.watch(signal)) {
    switch (event.kind) {
      case "connected":
        on.connected();
        if (mode === "handshake") return undefined;
        break;
      case "config":
        return event.update;
      case "rejected":
      case "withheld":
      case "unconfirmed":
        if (isOwnFault(event.error)) throw event.error;
        on.complains(event.error);
        break;
      case "confirmed":
        break;
      default:
        event satisfies never;
    }
  }
  throw new SourceError("SOURCE_LOST", `the control plane ${source.name} ended the session`);
}

/** Finds out that nobody is there: attempt after attempt was refused at once, without a pause. */
class Absence {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #tell: (error: ServiceError) => void;
  /** Refusals in a row. */
  #row: { readonly sinceMs: number; count: number; error: ServiceError } | undefined;

  constructor(clock: Clock, signal: AbortSignal, tell: (error: ServiceError) => void) {
    this.#clock = clock;
    this.#signal = signal;
    this.#tell = tell;
  }

  /** `isConnected`: it came to a session before that. */
  note(error: ServiceError, isConnected: boolean): void {
    if (isConnected || !isAbsence(error)) {
      this.#row = undefined;
      return;
    }
    this.#row ??= this.#begin(error);
    this.#row.count += 1;
    this.#row.error = error;
    this.#look();
  }

  #begin(error: ServiceError) {
    void orAborted(this.#signal, this.#clock.sleep(ABSENT_AFTER_MS, this.#signal)).then(() =>
      this.#look(),
    );
    return { sinceMs: this.#clock.monotonicMs(), count: 0, error };
  }

  #look(): void {
    if (this.#row === undefined || this.#signal.aborted) return;
    const { sinceMs, count, error } = this.#row;
    if (count > 1 && this.#clock.monotonicMs() - sinceMs >= ABSENT_AFTER_MS) this.#tell(error);
  }
}

/** Answers that come at once, and say that nobody is there: a load balancer without a control plane behind it takes connections and hangs up. */
const ABSENT: ReadonlySet<string> = new Set([
  ...["ECONNREFUSED", "ECONNRESET", "EPIPE"],
  ...["ENOTFOUND", "ENETUNREACH", "EHOSTUNREACH", "EADDRNOTAVAIL"],
]);

/** Whether every address says so, or there is none; of the proxy, where one is used. */
function isAbsence({ cause }: ServiceError): boolean {
  // What failed at TLS stands one level deeper.
  const inner = cause instanceof Error && nodeCodeOf(cause) === "" ? (cause.cause ?? cause) : cause;
  const causes: readonly unknown[] = inner instanceof AggregateError ? inner.errors : [inner];
  return causes.length > 0 && causes.every((each) => ABSENT.has(nodeCodeOf(each)));
}

function isSourceError(error: ServiceError, code: SourceErrorCode): boolean {
  return error instanceof SourceError && error.code === code;
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
