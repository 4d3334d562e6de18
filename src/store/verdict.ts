/** What a driver concludes from a failed attempt, and the error that it makes of that. */

import type { ErrorDetails } from "../core/errors.ts";
import { type Precondition, StoreError, type StoreErrorCode } from "./port.ts";

/** What was tried. */
export interface StoreAttempt {
  readonly action: "read" | "write" | "list" | "delete";
  /** `scheme://place/prefix/key`, without credentials. */
  readonly target: string;
  /** Where, and as far as it matters as whom, for messages. */
  readonly place: string;
  readonly when: Precondition | undefined;
}

/** Why it failed, and what to do. */
export interface Verdict {
  readonly code: StoreErrorCode;
  readonly why: string;
  readonly hint?: string;
  readonly retryable?: boolean;
}

const BUSY_HINT = "Nothing to change here: look at the store's health if it lasts.";

export function unavailable(why: string, hint = BUSY_HINT): Verdict {
  return { code: "STORE_UNAVAILABLE", why, hint };
}

export function misconfigured(why: string, hint: string): Verdict {
  return { code: "STORE_MISCONFIGURED", why, hint };
}

export function denied(why: string, hint: string): Verdict {
  return { code: "STORE_DENIED", why, hint };
}

export function outrun({ when }: StoreAttempt): Verdict {
  const why =
    when !== undefined && "ifAbsent" in when
      ? "the object exists already"
      : "the object was written by somebody else since it was read";
  return { code: "STORE_PRECONDITION_FAILED", why };
}

export function fault(
  { action, target, place }: StoreAttempt,
  { code, why, ...advice }: Verdict,
  details: ErrorDetails = {},
): StoreError {
  return new StoreError(code, `could not ${action} ${target} at ${place}: ${why}`, {
    ...advice,
    ...details,
  });
}

/** A write that somebody else's came before, where the server has no name for that. */
export function lostRace(attempt: StoreAttempt): StoreError {
  return fault(attempt, outrun(attempt));
}
