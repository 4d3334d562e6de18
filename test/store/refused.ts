/** A look at how a store failed, and for secrets in its error. */

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { StoreError } from "../../src/store/port.ts";

export interface Expected {
  readonly code: StoreError["code"];
  readonly message: RegExp;
  readonly hint?: RegExp | undefined;
  /** Absent: as the code's rule says. */
  readonly retryable?: boolean;
}

/** Of the fakes and servers of S3 in these tests; no message may hold it. */
export const SECRET_KEY = "kong-fallback-secret";
export const SESSION_TOKEN = "kong-fallback-session-token";

/** What a service is sent or repeats, whatever its secrets are. */
const SIGNS = new RegExp(
  `${SECRET_KEY}|${SESSION_TOKEN}|Signature=|AKIA[A-Z0-9]{12}|sig=(?!\\.\\.\\.)|SharedKey |Bearer |eyJ`,
);

/** Resolves with the StoreError that `promise` rejects with, when it is as expected and holds none of `secrets`. */
export async function refused(
  promise: Promise<unknown>,
  expected: Expected,
  secrets: readonly string[] = [],
): Promise<StoreError> {
  const error = await promise.then(
    () => assert.fail("it succeeded"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof StoreError, inspect(error));
  assert.equal(error.code, expected.code, error.message);
  assert.match(error.message, expected.message);
  if (expected.hint !== undefined) assert.match(error.hint ?? "", expected.hint);
  const byRule = error.code === "STORE_UNAVAILABLE" || error.code === "STORE_FULL";
  assert.equal(error.retryable, expected.retryable ?? byRule, "retryable");
  // Everything a logger or a crash could print, down to what inspect hides.
  const printed = inspect(error, { depth: 12, showHidden: true, getters: true });
  const all = [error.message, error.hint, error.stack, printed].join("\n");
  for (const secret of secrets) assert.ok(!all.includes(secret), all);
  assert.doesNotMatch(all, SIGNS);
  return error;
}
