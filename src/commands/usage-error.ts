/** A command line that cannot be understood. */

import { ServiceError } from "../core/errors.ts";

/** `USAGE`: the command line cannot be understood, or asks for two things that exclude each other. */
export class UsageError extends ServiceError {
  readonly code = "USAGE";
  readonly exitStatus = 2;

  constructor(message: string, hint = "kong-fallback --help lists the commands and flags.") {
    super(message, { retryable: false, hint });
  }
}
