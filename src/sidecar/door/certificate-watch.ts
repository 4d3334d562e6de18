/** Notices certificates that were replaced on disk, or that have expired. */

import type { Clock } from "../../core/clock.ts";
import { ServiceError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { NewsLog } from "../../core/news-log.ts";
import type { ClusterTls } from "../../kong/cluster-tls.ts";
import type { ServerCertificate } from "./listener.ts";

export interface Certificates {
  readonly tls: ClusterTls;
  /** Undefined: the pair in `tls` is shown. */
  readonly server: ServerCertificate | undefined;
}

export interface CertificateWatchOptions {
  /** Reads them anew. Rejects with ServiceError, as in the middle of a rotation. */
  readonly load: () => Promise<Certificates>;
  /** Those in use. */
  readonly current: Certificates;
  readonly onChange: (certificates: Certificates) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** Kubernetes takes up to a minute to bring a changed secret into a container; this is little beside it. */
const EVERY_MS = 10_000;
/** Time enough to make another one, and bring it to every data plane. */
const WARN_BEFORE_MS = 14 * 24 * 60 * 60_000;

/** What cannot be loaded is not used, and said once; the certificates in use stay. Ends by rejecting with `signal.reason`. */
export async function watchCertificates(
  options: CertificateWatchOptions,
  signal: AbortSignal,
): Promise<never> {
  const { load, onChange, clock, log } = options;
  let { current } = options;
  let complaint = "";
  const expiry = new NewsLog(log);
  for (;;) {
    tellExpiry(current.tls, clock, expiry);
    await clock.sleep(EVERY_MS, signal);
    try {
      const loaded = await load();
      complaint = "";
      if (textOf(loaded) === textOf(current)) continue;
      onChange(loaded);
      current = loaded;
      log.info(
        { expiresAt: loaded.tls.expiresAt },
        "certificates were replaced, the new ones are in use",
      );
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      if (error.message !== complaint) {
        log.error({ err: error }, "certificates cannot be read, those in use stay");
      }
      complaint = error.message;
    }
  }
}

/** Once for each certificate that expires soon, and once when it has. */
function tellExpiry({ expiresAt, fingerprint256 }: ClusterTls, clock: Clock, log: NewsLog): void {
  const leftMs = expiresAt.getTime() - clock.now().getTime();
  if (leftMs > WARN_BEFORE_MS) return;
  const fields = { expiresAt };
  if (leftMs > 0) log.say("warn", fields, "cluster certificate expires soon", fingerprint256);
  else log.say("error", fields, "cluster certificate has expired", fingerprint256);
}

function textOf({ tls, server }: Certificates): string {
  const parts = [tls.cert, tls.key.reveal(), ...(tls.ca ?? []), server?.cert, server?.key.reveal()];
  return parts.join("\n");
}
