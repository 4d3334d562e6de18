/** Where configs come from. */

import type { ErrorDetails } from "../core/errors.ts";
import { ServiceError } from "../core/errors.ts";
import type { ConfigUpdate } from "../kong/reconfigure.ts";

export type SourceEvent =
  /** The session is up; a config should follow. */
  | { readonly kind: "connected" }
  /** A well-formed config. */
  | { readonly kind: "config"; readonly update: ConfigUpdate }
  /** A frame that is no usable config; the session goes on, nothing is lost. */
  | { readonly kind: "rejected"; readonly error: ServiceError }
  /** Connected and alive, but no config came within the expected time. `error` says which cause fits and the remedy. Given once a session. */
  | { readonly kind: "withheld"; readonly error: SourceError };

export interface ConfigSource extends AsyncDisposable {
  /** What it watches, for logs: `host:port` and the declared version. */
  readonly name: string;
  /**
   * One session, no retry inside: yields events until the session breaks, then throws SourceError.
   * Newest last; a consumer slower than the source sees only the newest config. Rejects with
   * `signal.reason` once the signal aborts. One watch at a time.
   */
  watch(signal: AbortSignal): AsyncIterable<SourceEvent>;
  /** Tells the source which config is durably saved (Kong's hash), so that it can report it upstream. */
  acknowledge(configHash: string): void;
}

/**
 * - `SOURCE_UNREACHABLE`: DNS, TCP, proxy or timeout: nothing answered. Retried.
 * - `SOURCE_TLS`: TLS failed: untrusted, expired or wrongly named certificate. Fix certificates or the server name.
 * - `SOURCE_REFUSED`: the control plane answered and refused: certificate digest (connection dropped without an answer), 400, 401, 403, or closed right after `basic_info` (version). Fix the setting named in the hint.
 * - `SOURCE_NOT_FOUND`: 404: not a control plane's cluster port, or a 3.1 control plane, which speaks only wRPC.
 * - `SOURCE_BUSY`: 429 or 503; `retryAfterMs` holds what `Retry-After` asked for.
 * - `SOURCE_LOST`: a session that had been up broke, or was silent for more than 45 s. Retried.
 * - `SOURCE_FRAME_TOO_LARGE`: a frame above the payload cap. Raise KONG_CLUSTER_MAX_PAYLOAD here.
 * - `SOURCE_WITHHELD`: connected, pongs come, no config does.
 * - `SOURCE_PROXY`: the forward proxy refused or failed. Fix the proxy setting.
 */
export type SourceErrorCode =
  | "SOURCE_UNREACHABLE"
  | "SOURCE_TLS"
  | "SOURCE_REFUSED"
  | "SOURCE_NOT_FOUND"
  | "SOURCE_BUSY"
  | "SOURCE_LOST"
  | "SOURCE_FRAME_TOO_LARGE"
  | "SOURCE_WITHHELD"
  | "SOURCE_PROXY";

const RETRYABLE: ReadonlySet<SourceErrorCode> = new Set([
  "SOURCE_UNREACHABLE",
  "SOURCE_BUSY",
  "SOURCE_LOST",
  "SOURCE_WITHHELD",
]);

export class SourceError extends ServiceError {
  readonly code: SourceErrorCode;
  readonly exitStatus = 4;
  /** Milliseconds the other side asked us to wait (`Retry-After`), if it did. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: SourceErrorCode,
    message: string,
    details: ErrorDetails & { readonly retryAfterMs?: number | undefined } = {},
  ) {
    super(message, { retryable: RETRYABLE.has(code), ...details });
    this.code = code;
    this.retryAfterMs = details.retryAfterMs;
  }
}
