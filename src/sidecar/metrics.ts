/** What the sidecar counts, as a port. */

import type { UpstreamState } from "./live/evidence.ts";

export interface SidecarMetrics {
  upstream(state: UpstreamState["kind"]): void;
  /** A data plane took a config from the snapshot, this long after it was offered. */
  served(durationMs: number): void;
  /** A config that did not take was sent again. */
  resent(): void;
  /** A data plane did not take a config at all. */
  rejected(): void;
  /** A data plane was not given a config: it lacks a plugin, there is none for its version, or it takes none from here. */
  unserved(): void;
  /** A data plane left since it does not take the certificate it is shown. */
  distrusted(): void;
}
