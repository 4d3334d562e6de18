/** Where configs come from: a source of our own, or a connection made for a data plane. */

import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
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
  /**
   * Connected and alive, but no config came within the expected time, or none comes any more though
   * there is one. `error` says which cause fits and the remedy. Once at the start of a session, and
   * again each time a check finds it so.
   */
  | { readonly kind: "withheld"; readonly error: SourceError }
  /** Checked: the control plane has nothing but the config that it sent last. */
  | { readonly kind: "confirmed" }
  /** That could not be found out. The session goes on. */
  | { readonly kind: "unconfirmed"; readonly error: SourceError };

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

/** Opens connections to a control plane in the name of data planes. */
export interface Dialer {
  /** The control plane's `host:port`, for logs. */
  readonly name: string;
  /** No retry inside. Rejects with SourceError, or with `signal.reason`; then nothing is left open. */
  dial(request: DialRequest, signal: AbortSignal): Promise<DialedConnection>;
}

export interface DialRequest {
  /** Path and query of the upgrade, as the data plane sent them. */
  readonly target: string;
  /** `Sec-WebSocket-Protocol`, as the data plane sent it. */
  readonly protocol?: string | undefined;
}

export interface DialedConnection {
  /** Paused: nothing has been sent on it, and nothing is read before `resume()`. It never pongs. */
  readonly webSocket: WebSocket;
  /** What it runs on: any byte is a sign of life, even within a long message. */
  readonly socket: Duplex;
  /** Why it ended, and what to do. */
  explain(ending: ConnectionEnding): SourceError;
}

export interface ConnectionEnding {
  /** 1005: a close frame without a code; 1006: no close frame. RFC 6455 7.4.1 */
  readonly closeCode: number;
  readonly closeReason: string;
  /** Error of the connection or of the protocol, if there was one. */
  readonly error: unknown;
  /** Milliseconds since `basic_info` was sent. */
  readonly afterMs: number;
  /** Whether any frame had come before. */
  readonly heard: boolean;
  /** Kong version declared. */
  readonly version: string;
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
