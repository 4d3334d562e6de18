/** The Lease of the `kubernetes` election: its resource as the API server keeps it, and what an exporter reads and writes in it. */

import { type V1Lease, V1MicroTime, type V1ObjectMeta } from "@kubernetes/client-node";
import { corrupt, MAX_LEASE_TTL_MS, MAX_TOKEN, MIN_LEASE_TTL_MS } from "./lease.ts";
import { ElectionError } from "./port.ts";

/** A Lease as it was read or written. */
export interface KubernetesLease {
  /** Empty where nobody holds it: after a release, or if it was made by hand. */
  readonly holder: string;
  /** The highest that it knows of; 0 if none. */
  readonly token: number;
  /** How long the holder may go without renewing, milliseconds. */
  readonly ttlMs: number;
  /** Changes of the holder: grows with each acquisition, but starts anew with a new Lease. */
  readonly transitions: number;
  /** Its resourceVersion: opaque, another one after each write. */
  readonly version: string;
  /** As the server gave it: labels and owners are others' and stay. */
  readonly resource: V1Lease;
}

/** What a write changes. */
export interface LeaseDraft {
  readonly holder: string;
  readonly token: number;
  /** Positive, whole. */
  readonly ttlSeconds: number;
  readonly transitions: number;
  /** Absent: stays. */
  readonly acquiredAt?: Date;
  readonly renewedAt: Date;
}

/** One Lease on one API server, which may not exist. No retry inside. */
export interface LeaseResource {
  /** For messages. */
  readonly name: string;
  /** Undefined if there is none. Rejects with ElectionError: ELECTION_CORRUPT for one without a usable token. */
  read(signal: AbortSignal): Promise<KubernetesLease | undefined>;
  /**
   * Replaces `over`, which is what was read or written last; undefined creates. Resolves with the
   * Lease as it lies there now, or with undefined, and has changed nothing, if it was another one
   * meanwhile. Any rejection leaves open whether the write happened.
   */
  write(
    draft: LeaseDraft,
    over: KubernetesLease | undefined,
    signal: AbortSignal,
  ): Promise<KubernetesLease | undefined>;
}

/** `spec.leaseTransitions` cannot hold the token: it starts anew when the Lease is deleted. */
const TOKEN_ANNOTATION = "kong-fallback/fencing-token";

/** `spec.leaseTransitions` is an int32. */
const MAX_TRANSITIONS = 2 ** 31 - 1;

/** `name` is the Lease, for messages. Throws ElectionError. */
export function readResource(resource: V1Lease, name: string): KubernetesLease {
  const { metadata, spec } = resource;
  const version = metadata?.resourceVersion;
  if (typeof version !== "string" || version === "") {
    throw new ElectionError("ELECTION_MISCONFIGURED", `the answer for ${name} is no Lease`, {
      hint: "Look at the server's address: no Kubernetes API server answers there.",
    });
  }
  const transitions = wholeNumber(spec?.leaseTransitions);
  const seconds = wholeNumber(spec?.leaseDurationSeconds);
  return {
    holder: typeof spec?.holderIdentity === "string" ? spec.holderIdentity : "",
    token: Math.max(annotatedToken(metadata?.annotations?.[TOKEN_ANNOTATION], name), transitions),
    ttlMs: Math.min(Math.max(seconds * 1_000, MIN_LEASE_TTL_MS), MAX_LEASE_TTL_MS),
    transitions,
    version,
    resource,
  };
}

/** What to send for `draft`. With the uid and resourceVersion of `over`, a Lease made since is no more replaced than one changed since. */
export function writeResource(
  draft: LeaseDraft,
  over: KubernetesLease | undefined,
  identity: { readonly name: string; readonly namespace: string },
): V1Lease {
  const before: V1ObjectMeta = over?.resource.metadata ?? identity;
  // The server keeps account of them by itself.
  const { managedFields: _, ...metadata } = before;
  const annotations = { ...metadata.annotations, [TOKEN_ANNOTATION]: String(draft.token) };
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { ...metadata, annotations },
    spec: {
      ...over?.resource.spec,
      holderIdentity: draft.holder,
      leaseDurationSeconds: draft.ttlSeconds,
      leaseTransitions: Math.min(draft.transitions, MAX_TRANSITIONS),
      ...(draft.acquiredAt && { acquireTime: new V1MicroTime(draft.acquiredAt) }),
      renewTime: new V1MicroTime(draft.renewedAt),
    },
  };
}

function annotatedToken(text: string | undefined, name: string): number {
  if (text === undefined) return 0;
  const token = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (token <= MAX_TOKEN) return token;
  throw corrupt(name, `its annotation ${TOKEN_ANNOTATION} is no token`);
}

function wholeNumber(value: unknown): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : 0;
}
