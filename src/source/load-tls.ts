/** The cluster's certificates for one connection, read anew. */

import { ServiceError } from "../core/errors.ts";
import type { ClusterTls } from "../kong/cluster-tls.ts";
import { SourceError } from "./port.ts";

/** A certificate rotated by halves is mended by the other half: it must not end a long-running job. Rejects with SOURCE_TLS. */
export async function loadTlsForSession(load: () => Promise<ClusterTls>): Promise<ClusterTls> {
  try {
    return await load();
  } catch (cause) {
    if (!(cause instanceof ServiceError)) throw cause;
    throw new SourceError("SOURCE_TLS", cause.message, {
      cause,
      ...(cause.hint !== undefined && { hint: cause.hint }),
    });
  }
}
