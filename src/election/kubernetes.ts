/** The election by a Lease of Kubernetes (`coordination.k8s.io/v1`). Load it only where it is asked for: the client costs more than half a second. */

import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { KongVersion } from "../kong/version.ts";
import { Campaigns } from "./campaigns.ts";
import { findCluster, type KubernetesAccess } from "./kubernetes-access.ts";
import { KubernetesCampaign } from "./kubernetes-campaign.ts";
import type { LeasePlace } from "./kubernetes-lease.ts";
import { ApiLeasePlace } from "./kubernetes-place.ts";
import { kubernetesTimes } from "./kubernetes-times.ts";
import { MAX_LEASE_TTL_MS, MIN_LEASE_TTL_MS } from "./lease.ts";
import type { Election, Leadership } from "./port.ts";

/** Of KONG_FALLBACK_ELECTION_ID. */
export const DEFAULT_ELECTION_ID = "kong-fallback-exporter";

export interface KubernetesElectionOptions {
  readonly place: LeasePlace;
  readonly exporter: { readonly id: string; readonly hostname: string };
  /**
   * How long a holder may go without renewing, milliseconds, from MIN_LEASE_TTL_MS to
   * MAX_LEASE_TTL_MS; others wait for whole seconds, rounded up. It renews every 2/15 and steps down
   * after 2/3.
   */
  readonly ttlMs: number;
  /**
   * The highest token known elsewhere: the Lease may have been deleted, and the tokens must not
   * start anew. Asked before each acquisition. A ServiceError is tried again.
   */
  readonly floor: (signal: AbortSignal) => Promise<number>;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
}

/**
 * As client-go's leader election, with ReleaseOnCancel: writes are conditional on the
 * resourceVersion, and another's Lease is judged by watching it not change on one's own monotonic
 * clock. Unlike there, the holder counts from before its last good write, and one that lost the
 * Lease goes on as a follower. No two clocks are ever compared; the times in the Lease are for
 * people. The fencing token lies in an annotation, and release, which leaves the Lease in place
 * without a holder, keeps it.
 *
 * Failures do not end a campaign: missing rights may be granted while it runs.
 */
export class KubernetesElection implements Election {
  readonly name: string;
  readonly #options: KubernetesElectionOptions;
  readonly #campaigns: Campaigns;

  /** Throws RangeError for a TTL out of bounds. */
  constructor(options: KubernetesElectionOptions) {
    const { place, ttlMs } = options;
    // Followers wait no longer than the maximum, whatever the Lease says: two could hold a longer one.
    if (!(ttlMs >= MIN_LEASE_TTL_MS && ttlMs <= MAX_LEASE_TTL_MS)) {
      throw new RangeError(`a lease of ${ttlMs} ms is not possible`);
    }
    this.#options = options;
    this.name = place.name;
    this.#campaigns = new Campaigns(this.name);
  }

  campaign(signal: AbortSignal): AsyncIterable<Leadership> {
    const times = kubernetesTimes(this.#options.ttlMs);
    const campaign = new KubernetesCampaign({ ...this.#options, times });
    return this.#campaigns.start((announce, ended) => campaign.run(announce, ended), signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#campaigns[Symbol.asyncDispose]();
  }
}

/** Opens no connection. Rejects with ElectionError where nothing says which API server it is, RangeError as the constructor. */
export async function openKubernetesElection(
  options: Omit<KubernetesElectionOptions, "place"> & {
    readonly access: KubernetesAccess;
    /** As `leaseName` gives it. */
    readonly leaseName: string;
  },
): Promise<KubernetesElection> {
  const { access, leaseName: name, ...others } = options;
  const place = new ApiLeasePlace(await findCluster(access), name);
  return new KubernetesElection({ ...others, place });
}

/** The Lease for one Kong version: `<id>-3-9-1`. `id` is KONG_FALLBACK_ELECTION_ID. */
export function leaseName(id: string, version: KongVersion): string {
  return `${id}-${version.replaceAll(".", "-").toLowerCase()}`;
}
