/** The one family of errors this program raises on purpose; anything else is a bug (exit status 1). */

/** Exit statuses of the command line: 2 usage or settings, 3 no usable snapshot, 4 store, target or control plane unavailable. */
export type FailureStatus = 2 | 3 | 4;

export interface ErrorDetails {
  readonly cause?: unknown;
  /** What the reader should do next, one sentence. Never holds a secret. */
  readonly hint?: string;
  /** Overrides the class's rule for its code. */
  readonly retryable?: boolean;
}

/**
 * Base of every expected error. `message` says what was tried, on what, and why it failed; `hint`
 * says what to do. Neither ever holds config content, keys or credentials.
 */
export abstract class ServiceError extends Error {
  abstract readonly code: string;
  /** Exit status of a one-shot command that ends with this error. */
  abstract readonly exitStatus: FailureStatus;
  /** True where the same call may succeed later without anybody changing anything. */
  readonly retryable: boolean;
  readonly hint: string | undefined;

  constructor(message: string, details: ErrorDetails & { readonly retryable: boolean }) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.retryable = details.retryable;
    this.hint = details.hint;
  }
}

/** What happened and what to do, for a list of faults. */
export function withHint({ message, hint }: ServiceError): string {
  return hint === undefined ? message : `${message}. ${hint}`;
}

/** Text of anything caught: its message, with Node's error code where it has one and does not say it. */
export function describeCause(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const code = (cause as { code?: unknown }).code;
  const inner =
    cause instanceof AggregateError && cause.message === ""
      ? cause.errors.map(describeCause).join("; ")
      : cause.message;
  return typeof code === "string" && !inner.includes(code) && !(cause instanceof ServiceError)
    ? `${inner || cause.name} (${code})`
    : inner || cause.name;
}
