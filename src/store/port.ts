/** Where objects lie: one interface for S3, GCS and a directory, with one conformance suite (test/store/conformance.ts). */

import type { ErrorDetails } from "../core/errors.ts";
import { ServiceError } from "../core/errors.ts";

/**
 * Name of an object below the store's prefix: segments joined by `/`, e.g. `3.9.1/config.json`.
 * No empty segment, `.` or `..`, no leading or trailing `/`, no control character, at most 512 bytes of UTF-8.
 */
export type Key = string;

/**
 * Identity of one stored content, opaque to callers: an ETag, a generation, a digest. Two puts of
 * different bodies never have the same version; of one body under other metadata they have another
 * one where the store can tell (not S3). It serves only for `ifVersion` and `getIfChanged`.
 */
export type Version = string & { readonly __brand: "Version" };

/**
 * User metadata: names match `/^[a-z0-9-]+$/`, values are printable ASCII without leading or
 * trailing blanks; names and values together at most 2048 bytes (the limit of S3).
 */
export type Metadata = Readonly<Record<string, string>>;

export interface ObjectInfo {
  readonly key: Key;
  readonly version: Version;
  /** Length of the body. */
  readonly bytes: number;
}

export interface ListedObject extends ObjectInfo {
  /** When it was put, by the store's clock, in whole seconds on some; undefined where a server does not tell. */
  readonly putAt: Date | undefined;
}

/** All that is known of an object but its body. */
export interface ObjectHead extends ObjectInfo {
  readonly metadata: Metadata;
}

export interface StoredObject extends ObjectHead {
  readonly body: Uint8Array;
}

export interface GetOptions {
  /** Refuse, with STORE_TOO_LARGE and before reading it whole, a body longer than this. */
  readonly maxBytes: number;
  /** Called as bytes arrive: received so far, and the total where the store tells it. */
  readonly onProgress?: (receivedBytes: number, totalBytes: number | undefined) => void;
}

/** What must be true of the key for a put to happen; otherwise STORE_PRECONDITION_FAILED. */
export type Precondition = { readonly ifAbsent: true } | { readonly ifVersion: Version };

export interface PutOptions {
  readonly metadata: Metadata;
  /** MIME type, e.g. `application/json`. */
  readonly contentType: string;
  /** Absent: unconditional. */
  readonly when?: Precondition;
}

/**
 * A place for objects. Every method rejects with StoreError, or with `signal.reason` once the
 * signal aborts; after dispose, with STORE_CLOSED. No method retries: the caller does.
 * Read-after-write is consistent.
 */
export interface Store extends AsyncDisposable {
  /** The storage URL as configured, without credentials. */
  readonly url: string;
  /** The whole object, its length checked against what the store announced. STORE_NOT_FOUND if there is none. */
  get(key: Key, options: GetOptions, signal: AbortSignal): Promise<StoredObject>;
  /** What `get` would give but for the body, which is not moved. Fails as `get` does, but for STORE_TOO_LARGE. */
  head(key: Key, signal: AbortSignal): Promise<ObjectHead>;
  /**
   * As `get`, but undefined where the object still has the version `than`: then no body is sent, where
   * the store can tell beforehand, and neither `maxBytes` nor `onProgress` has a part in it. Any other
   * `than`, even one that another store gave, counts as changed.
   */
  getIfChanged(
    key: Key,
    than: Version,
    options: GetOptions,
    signal: AbortSignal,
  ): Promise<StoredObject | undefined>;
  /** Body and metadata in one atomic write: a reader sees the old object or the new one. */
  put(key: Key, body: Uint8Array, options: PutOptions, signal: AbortSignal): Promise<ObjectInfo>;
  /** Every object whose key starts with `prefix` + `/` (all, if `""`), recursively, ascending by UTF-8 bytes of the key, over all pages. */
  list(prefix: Key | "", signal: AbortSignal): AsyncIterable<ListedObject>;
  /** Idempotent: a missing key is success. */
  delete(key: Key, signal: AbortSignal): Promise<void>;
}

/**
 * - `STORE_NOT_FOUND`: no object under this key. Normal before the first export.
 * - `STORE_PRECONDITION_FAILED`: somebody else wrote the object since it was read. Normal with several exporters; read again.
 * - `STORE_DENIED`: credentials missing, wrong, expired or without permission. Fix the credentials or the policy.
 * - `STORE_MISCONFIGURED`: bucket or directory missing, endpoint is not such a store, wrong region, clock skewed. Fix the settings.
 * - `STORE_UNAVAILABLE`: network, timeout, throttling, 5xx, truncated transfer. Retried; look at the store.
 * - `STORE_FULL`: no space or quota left. Retried; free space.
 * - `STORE_TOO_LARGE`: the object is longer than KONG_FALLBACK_MAX_CONFIG_BYTES. Raise that only if the size is expected.
 * - `STORE_BAD_KEY`: a key or metadata that not every store can take; a strange prefix, or a bug of ours.
 * - `STORE_CLOSED`: used after it was closed; a bug of ours.
 */
export type StoreErrorCode =
  | "STORE_NOT_FOUND"
  | "STORE_PRECONDITION_FAILED"
  | "STORE_DENIED"
  | "STORE_MISCONFIGURED"
  | "STORE_UNAVAILABLE"
  | "STORE_FULL"
  | "STORE_TOO_LARGE"
  | "STORE_BAD_KEY"
  | "STORE_CLOSED";

const RETRYABLE: ReadonlySet<StoreErrorCode> = new Set(["STORE_UNAVAILABLE", "STORE_FULL"]);

export class StoreError extends ServiceError {
  readonly code: StoreErrorCode;
  readonly exitStatus: 3 | 4;

  constructor(code: StoreErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, { retryable: RETRYABLE.has(code), ...details });
    this.code = code;
    this.exitStatus = code === "STORE_NOT_FOUND" || code === "STORE_TOO_LARGE" ? 3 : 4;
  }
}
