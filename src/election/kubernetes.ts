/** The election by a Lease of Kubernetes (`coordination.k8s.io/v1`). Load it only where it is asked for: the client costs more than half a second. */

import { randomUUID } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import { FailureNews } from "../core/failure-news.ts";
import type { Log } from "../core/log.ts";
import type { KongVersion } from "../kong/version.ts";
import { findCluster, type KubernetesAccess } from "./kubernetes-access.ts";
import {
  ApiLeaseResource,
  type KubernetesLease,
  type LeaseDraft,
  type LeaseResource,
} from "./kubernetes-lease.ts";
import type { Claim, Exporter, LeasePace, LeasePlace, SeenLease } from "./lease.ts";
import { LeaseElection, type LeaseElectionOptions } from "./lease-election.ts";
import { ElectionError } from "./port.ts";

/**
 * Of 15 s: 10 s, 2 s, and looks every 2 to 4.4 s, as of Kubernetes' own controllers.
 * kubernetes/client-go@v0.36.3 tools/leaderelection/leaderelection.go
 */
const PACE: LeasePace = { holdFor: 10 / 15, renewAfter: 2 / 15, lookWithin: 4.4 / 15 };

export interface KubernetesElectionOptions extends LeaseElectionOptions {
  readonly resource: LeaseResource;
  /** URL of the store that is written, without credentials. */
  readonly store: string;
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
      pace: PACE,
      openPlace: () => new KubernetesPlace(options),
    });
  }
}

/** Opens no connection. Rejects with ELECTION_MISCONFIGURED where nothing usable says which API server it is, RangeError as the constructor. */
export async function openKubernetesElection(
  options: LeaseElectionOptions & {
    readonly access: KubernetesAccess;
    readonly store: string;
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

interface KubernetesPlaceOptions {
  readonly resource: LeaseResource;
  readonly store: string;
  readonly log: Log;
  readonly exporter: Exporter;
  readonly ttlMs: number;
  readonly clock: Clock;
}

export interface SeenKubernetesLease extends KubernetesLease, SeenLease {}

/** The Lease of one campaign: told apart by its holder's identity, its acquisitions by their count. */
class KubernetesPlace implements LeasePlace<SeenKubernetesLease> {
  readonly server = "the API server";
  readonly #options: KubernetesPlaceOptions;
  /** As client-go's: a UUID for each campaign, so that two exporters that were given one id are told apart all the same. */
  readonly #identity: string;
  readonly #news: FailureNews;

  constructor(options: KubernetesPlaceOptions) {
    const { hostname, id } = options.exporter;
    this.#options = options;
    this.#news = new FailureNews(options.clock);
    this.#identity = `${hostname}_${id}_${randomUUID()}`;
  }

  get name(): string {
    return this.#options.resource.name;
  }

  /** Every API server compares the resourceVersion. */
  async check(): Promise<void> {}

  async read(signal: AbortSignal): Promise<SeenKubernetesLease | undefined> {
    const found = await this.#options.resource.read(signal);
    if (found === undefined) return undefined;
    this.#tellOfOtherStore(found);
    return this.#see(found);
  }

  /** Whoever waits for the writer of another store waits for good, which no follower may do in silence. */
  #tellOfOtherStore({ holder, store: theirs }: KubernetesLease): void {
    const { store: ours, log } = this.#options;
    if (holder === "" || holder === this.#identity || theirs === undefined || theirs === ours) {
      this.#news.end();
      return;
    }
    if (!this.#news.isNews(theirs)) return;
    const what = `${this.name} is held for ${theirs}, by an exporter of another store: nothing is saved in ${ours} while it runs`;
    const err = new ElectionError("ELECTION_MISCONFIGURED", what, {
      hint: "Give each store's exporters a KONG_FALLBACK_ELECTION_ID of their own, and name the Leases in their Role. After a move to another store: stop the exporters of the old one.",
    });
    log.error({ err }, "election fails, an operator must act");
  }

  take(token: number, over: SeenKubernetesLease | undefined, signal: AbortSignal) {
    const transitions = (over?.transitions ?? 0) + 1;
    const acquiredAt = this.#options.clock.now();
    return this.#write({ ...this.#held(), token, transitions, acquiredAt }, over, signal);
  }

  renew(held: SeenKubernetesLease, signal: AbortSignal) {
    const { token, transitions } = held;
    return this.#write({ ...this.#held(), token, transitions }, held, signal);
  }

  /** kubernetes/client-go@v0.36.3 tools/leaderelection/leaderelection.go:release */
  release(held: SeenKubernetesLease, signal: AbortSignal) {
    const { token, transitions } = held;
    const acquiredAt = this.#options.clock.now();
    const draft = { holder: "", ttlSeconds: 1, token, transitions, acquiredAt };
    return this.#write(draft, held, signal);
  }

  /** Others wait for whole seconds. */
  #held(): { readonly holder: string; readonly ttlSeconds: number } {
    return { holder: this.#identity, ttlSeconds: Math.ceil(this.#options.ttlMs / 1_000) };
  }

  async #write(
    draft: Omit<LeaseDraft, "renewedAt" | "store">,
    over: SeenKubernetesLease | undefined,
    signal: AbortSignal,
  ): Promise<SeenKubernetesLease | undefined> {
    const { clock, resource, store } = this.#options;
    const written = await resource.write({ ...draft, store, renewedAt: clock.now() }, over, signal);
    return written && this.#see(written);
  }

  #see(lease: KubernetesLease): SeenKubernetesLease {
    return { ...lease, claim: this.#claimOf(lease), sequence: lease.transitions };
  }

  #claimOf({ holder, ttlMs }: KubernetesLease): Claim {
    if (holder === "") return { kind: "free" };
    if (holder === this.#identity) return { kind: "ours" };
    return { kind: "held", holder, protectedMs: ttlMs };
  }
}
