/** The cluster's certificates for one connection, read anew. */

import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import { within } from "../core/waiting.ts";
import type { ClusterTls } from "../kong/cluster-tls.ts";
import { STEP_TIMEOUT_MS } from "../kong/wire.ts";
import { SourceError } from "./port.ts";

/**
 * A certificate rotated by halves is mended by the other half, and a hanging file system may wake up:
 * neither must end a long-running job. Rejects with SOURCE_TLS, or with `signal.reason`.
 */
export async function loadTlsForSession(
  load: () => Promise<ClusterTls>,
  clock: Clock,
  signal: AbortSignal,
): Promise<ClusterTls> {
  const late = () =>
    new SourceError(
      "SOURCE_TLS",
      `the cluster's certificates could not be read within ${STEP_TIMEOUT_MS / 1000} s`,
      { hint: "See whether the disk or server that KONG_CLUSTER_CERT lies on hangs." },
    );
  try {
    return await within({ ms: STEP_TIMEOUT_MS, clock, late }, signal, load);
  } catch (cause) {
    signal.throwIfAborted();
    if (!(cause instanceof ServiceError) || cause instanceof SourceError) throw cause;
    throw new SourceError("SOURCE_TLS", cause.message, {
      cause,
      ...(cause.hint !== undefined && { hint: cause.hint }),
    });
  }
}
