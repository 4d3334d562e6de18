/** For answers of which a failure is a part: what was obtained, or the expected error in its place. */

import { ServiceError } from "./errors.ts";

export type Result<T> =
  | { readonly kind: "good"; readonly value: T }
  | { readonly kind: "bad"; readonly error: ServiceError };

/** What `run` gives, or the ServiceError it rejects with. Rejects only with `signal.reason`, or for a bug. */
export async function resultOf<T>(run: () => Promise<T>, signal: AbortSignal): Promise<Result<T>> {
  try {
    return { kind: "good", value: await run() };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ServiceError)) throw error;
    return { kind: "bad", error };
  }
}
