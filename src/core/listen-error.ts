/** An address that cannot be listened on. */

import { describeCause, ServiceError } from "./errors.ts";
import { formatHostPort, type HostPort } from "./host-port.ts";

/** `LISTEN_FAILED`: the address is in use, not of this machine, or not allowed to this user. */
export class ListenError extends ServiceError {
  readonly code = "LISTEN_FAILED";
  readonly exitStatus = 2;

  /** `purpose`: for whom we wanted to listen, e.g. `data planes`. */
  constructor(purpose: string, address: HostPort, cause: unknown) {
    super(`cannot listen on ${formatHostPort(address)} for ${purpose}: ${describeCause(cause)}`, {
      retryable: false,
      cause,
      hint: "Choose another address or port, or stop what holds it.",
    });
  }
}
