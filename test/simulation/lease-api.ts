/** The election by a Lease of Kubernetes in a world: the API server is a store whose versions are the resourceVersions. */

import type { V1Lease } from "@kubernetes/client-node";
import { KubernetesElection } from "../../src/election/kubernetes.ts";
import {
  type KubernetesLease,
  type LeaseDraft,
  type LeaseResource,
  readResource,
  writeResource,
} from "../../src/election/kubernetes-lease.ts";
import type { LeaseElectionOptions } from "../../src/election/lease-election.ts";
import { ElectionError } from "../../src/election/port.ts";
import { type Key, StoreError, type Version } from "../../src/store/port.ts";
import type { StorePath } from "./store-path.ts";

const LEASE = { name: "kong-fallback-exporter-3-9-1", namespace: "kong" };

/** A Variant's `election`. */
export function leaseElection(options: LeaseElectionOptions, path: StorePath): KubernetesElection {
  const resource = new LeaseOverPath(path, true);
  return new KubernetesElection({ ...options, store: "memory://test", resource });
}

/** With an API server that compares no resourceVersions. */
export function carelessElection(
  options: LeaseElectionOptions,
  path: StorePath,
): KubernetesElection {
  const resource = new LeaseOverPath(path, false);
  return new KubernetesElection({ ...options, store: "memory://test", resource });
}

class LeaseOverPath implements LeaseResource {
  readonly name = `Lease ${LEASE.namespace}/${LEASE.name}`;
  readonly #path: StorePath;
  readonly #compares: boolean;

  constructor(path: StorePath, compares: boolean) {
    this.#path = path;
    this.#compares = compares;
  }

  async read(signal: AbortSignal): Promise<KubernetesLease | undefined> {
    const object = await this.#ask(() => this.#path.get(LEASE.name as Key, LIMITS, signal));
    if (object === undefined) return undefined;
    const lease = JSON.parse(new TextDecoder().decode(object.body)) as V1Lease;
    return this.#versioned(lease, object.version);
  }

  async write(
    draft: LeaseDraft,
    over: KubernetesLease | undefined,
    signal: AbortSignal,
  ): Promise<KubernetesLease | undefined> {
    const lease = writeResource(draft, over, LEASE);
    const body = new TextEncoder().encode(JSON.stringify(lease));
    const when = over === undefined ? IF_ABSENT : { ifVersion: over.version as Version };
    const options = {
      metadata: {},
      contentType: "application/json",
      ...(this.#compares && { when }),
    };
    const info = await this.#ask(() => this.#path.put(LEASE.name as Key, body, options, signal));
    return info && this.#versioned(lease, info.version);
  }

  #versioned(lease: V1Lease, resourceVersion: string): KubernetesLease {
    return readResource({ ...lease, metadata: { ...lease.metadata, resourceVersion } }, this.name);
  }

  /** Undefined where the API server says that there is none, or another one. */
  async #ask<T>(request: () => Promise<T>): Promise<T | undefined> {
    try {
      return await request();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error.code !== "STORE_UNAVAILABLE") return undefined;
      throw new ElectionError("ELECTION_UNAVAILABLE", error.message, { cause: error });
    }
  }
}

const LIMITS = { maxBytes: 100_000 };
const IF_ABSENT = { ifAbsent: true } as const;
