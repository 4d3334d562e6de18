/** Where an imported snapshot goes. */

import type { ErrorDetails } from "../../core/errors.ts";
import { ServiceError } from "../../core/errors.ts";
import type { Snapshot } from "../../snapshots/snapshot.ts";

export interface Target extends AsyncDisposable {
  /** What it writes to, for logs and errors; no credentials. */
  readonly name: string;
  /** All or nothing, and idempotent: a target that holds this config already is left alone ("unchanged"). */
  apply(snapshot: Snapshot, signal: AbortSignal): Promise<"applied" | "unchanged">;
  /**
   * Takes back what an earlier run applied, where that would mislead a restarting data plane; keeps
   * the bytes aside. False where there was nothing to take back.
   */
  withdraw(signal: AbortSignal): Promise<boolean>;
}

/**
 * - `TARGET_UNAVAILABLE`: nothing answered, not even the file system, or an Admin API answered 429, 5xx. An Admin API is tried again.
 * - `TARGET_REFUSED`: it understood and said no: 400 with reasons, 413, not DB-less. What it held before is untouched.
 * - `TARGET_UNWRITABLE`: the file cannot be written: read-only, a directory, no permission. Nothing was overwritten.
 * - `TARGET_FULL`: no space left. Nothing was overwritten.
 * - `TARGET_NOT_CONFIRMED`: it accepted the config but does not report its hash. Look at the target's log.
 */
export type TargetErrorCode =
  | "TARGET_UNAVAILABLE"
  | "TARGET_REFUSED"
  | "TARGET_UNWRITABLE"
  | "TARGET_FULL"
  | "TARGET_NOT_CONFIRMED";

export class TargetError extends ServiceError {
  readonly code: TargetErrorCode;
  readonly exitStatus = 4;
  /** It said no to the config itself, and holds none: another one would be better than nothing. */
  readonly leftEmpty: boolean;

  constructor(
    code: TargetErrorCode,
    message: string,
    details: ErrorDetails & { readonly leftEmpty?: boolean } = {},
  ) {
    super(message, { retryable: code === "TARGET_UNAVAILABLE", ...details });
    this.code = code;
    this.leftEmpty = details.leftEmpty ?? false;
  }
}
