/** The election by a Lease of Kubernetes (`coordination.k8s.io/v1`). Load it only where it is asked for: the client costs more than half a second. */

import type { KongVersion } from "../kong/version.ts";
import { findCluster, type KubernetesAccess } from "./kubernetes-access.ts";
import type { LeaseResource } from "./kubernetes-lease.ts";
import { KubernetesPlace, type SeenKubernetesLease } from "./kubernetes-place.ts";
import { ApiLeaseResource } from "./kubernetes-resource.ts";
import { LeaseElection, type LeaseElectionOptions } from "./lease-election.ts";
import { KUBERNETES_PACE } from "./lease-times.ts";

export interface KubernetesElectionOptions extends LeaseElectionOptions {
  readonly resource: LeaseResource;
}

/**
 * As `LeaseElection`, in the format and at the pace of client-go's leader election with
 * ReleaseOnCancel: the holder renews every 2/15 of the TTL and steps down after 2/3, others wait for
 * whole seconds, rounded up. Unlike there, the holder counts from before its last good write. The
 * times in the Lease are for people; the fencing token lies in an annotation.
 *
 * Failures do not end a campaign: missing rights may be granted while it runs.
 */
export class KubernetesElection extends LeaseElection<SeenKubernetesLease> {
  /** Throws RangeError for a TTL out of bounds. */
  constructor(options: KubernetesElectionOptions) {
    super(options, {
      name: options.resource.name,
      pace: KUBERNETES_PACE,
      openPlace: () => new KubernetesPlace(options),
    });
  }
}

/** Opens no connection. Rejects with ELECTION_MISCONFIGURED where nothing usable says which API server it is, RangeError as the constructor. */
export async function openKubernetesElection(
  options: LeaseElectionOptions & {
    readonly access: KubernetesAccess;
    /** As `leaseName` gives it. */
    readonly leaseName: string;
  },
): Promise<KubernetesElection> {
  const { access, leaseName: name, ...others } = options;
  const resource = new ApiLeaseResource(await findCluster(access), name);
  return new KubernetesElection({ ...others, resource });
}

/** The Lease for one Kong version: `<id>-3-9-1`. `id` is KONG_FALLBACK_ELECTION_ID. */
export function leaseName(id: string, version: KongVersion): string {
  return `${id}-${version.replaceAll(".", "-").toLowerCase()}`;
}
