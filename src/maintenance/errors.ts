/** Why a snapshot was not made current. */

import { type ErrorDetails, ServiceError } from "../core/errors.ts";

/**
 * - `RESTORE_LEASE_HELD`: an exporter holds the lease, so it alone may write, or the lease cannot be reached. Stop the exporters, or take the lease with --take-over.
 * - `RESTORE_OVERTAKEN`: somebody else wrote a newer config, or took the lease, at the same moment. Look at what is current, and restore again.
 */
export type RestoreErrorCode = "RESTORE_LEASE_HELD" | "RESTORE_OVERTAKEN";

export class RestoreError extends ServiceError {
  readonly code: RestoreErrorCode;
  readonly exitStatus: 2 | 4;

  constructor(code: RestoreErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, { retryable: false, ...details });
    this.code = code;
    this.exitStatus = code === "RESTORE_OVERTAKEN" ? 4 : 2;
  }
}
