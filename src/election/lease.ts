/** A lease, wherever it lies: what a campaign sees of it and can do with it, which tokens are believed, and how long everything lasts. */

import type { Clock } from "../core/clock.ts";
import type { BackoffPolicy } from "../core/trying.ts";
import type { Deadline } from "../core/waiting.ts";
import { ElectionError } from "./port.ts";

/** Who campaigns. */
export interface Exporter {
  /** 1 to 128 printable ASCII characters. */
  readonly id: string;
  /** For people. */
  readonly hostname: string;
  /** See `processIdentity`; absent: others cannot tell when it is dead, and wait out its lease. */
  readonly process?: string | undefined;
}

/** A lease as it was read or written. */
export interface SeenLease {
  readonly claim: Claim;
  /** The highest that it knows of; 0 if none. */
  readonly token: number;
  /** Never falls under one holder, as far as the place counts its writes. */
  readonly sequence: number;
  /** Opaque, another one after each write. */
  readonly version: string;
}

export type Claim =
  /** This campaign wrote it, and did not release it. */
  | { readonly kind: "ours" }
  /** Others must see it unchanged for `protectedMs` milliseconds before they may take it. `holder` is for people. */
  | { readonly kind: "held"; readonly holder: string; readonly protectedMs: number }
  /** It may be taken at once. */
  | { readonly kind: "free" };

/** How long it must be seen unchanged before it may be taken, milliseconds; 0: at once. */
export function protectedMs(claim: Claim): number {
  return claim.kind === "held" ? claim.protectedMs : 0;
}

/**
 * One campaign's way to one lease, which may not exist. No retry inside.
 *
 * Each write is over what was read or written last. It resolves with the lease as it lies there now,
 * or with undefined, and has changed nothing, if another one lay there meanwhile. Any rejection
 * leaves open whether the write happened.
 */
export interface LeasePlace<Seen extends SeenLease> {
  /** For messages. */
  readonly name: string;
  /** Who answers for it, as hints call it: `the store`. */
  readonly server: string;
  /** Asked once, before all else. Rejects with ELECTION_UNSAFE where the lease would keep nobody from writing. */
  check(signal: AbortSignal): Promise<void>;
  /** Undefined if there is none. Rejects with ServiceError: ELECTION_CORRUPT for what is no lease. */
  read(signal: AbortSignal): Promise<Seen | undefined>;
  /** `over` undefined creates it. */
  take(token: number, over: Seen | undefined, signal: AbortSignal): Promise<Seen | undefined>;
  renew(held: Seen, signal: AbortSignal): Promise<Seen | undefined>;
  /** Leaves it in place with its token, so that the next one need not wait. */
  release(held: Seen, signal: AbortSignal): Promise<Seen | undefined>;
}

/** How long what lasts: parts of the TTL, so that one setting scales all of it. Milliseconds each. */
export interface LeaseTimes {
  /** How long others leave the lease alone after they saw it change. */
  readonly ttlMs: number;
  /** How long after the beginning of its last good write the holder steps down. */
  readonly holdMs: number;
  /** From the beginning of one good write of the holder to the next. */
  readonly renewAfterMs: number;
  /** From one look of a follower to the next, at random within it. */
  readonly look: Range;
  /** The same where another one was faster: only who it was is to be seen. */
  readonly lookAfterRace: Range;
  /** After a renewal that failed. */
  readonly retry: BackoffPolicy;
  /** Longest wait for the answers to one look, acquisition or renewal. */
  readonly requestLimitMs: number;
}

export interface Range {
  readonly minMs: number;
  readonly maxMs: number;
}

/** Parts of the TTL. What `holdFor` leaves of it is for clocks that run apart, and for letting go. */
export interface LeasePace {
  readonly holdFor: number;
  readonly renewAfter: number;
  readonly lookWithin: number;
}

export function leaseTimes(ttlMs: number, pace: LeasePace): LeaseTimes {
  return {
    ttlMs,
    holdMs: ttlMs * pace.holdFor,
    renewAfterMs: ttlMs * pace.renewAfter,
    look: { minMs: (ttlMs * 2) / 15, maxMs: ttlMs * pace.lookWithin },
    lookAfterRace: { minMs: ttlMs / 30, maxMs: ttlMs / 15 },
    retry: { minMs: ttlMs / 60, maxMs: ttlMs / 15 },
    requestLimitMs: ttlMs / 3,
  };
}

/** Below a second, a slow answer of a store looks like the death of the holder. */
export const MIN_LEASE_TTL_MS = 1_000;
export const MAX_LEASE_TTL_MS = 5 * 60_000;

/** How long a lease that says `ttlMs` is left alone, whatever it says. */
export function boundedTtlMs(ttlMs: number): number {
  return Math.min(Math.max(ttlMs, MIN_LEASE_TTL_MS), MAX_LEASE_TTL_MS);
}

/** So that it fits into the 15 digits that a snapshot's metadata has room for (docs/format.md). */
export const MAX_TOKEN = 999_999_999_999_999;
/**
 * How far beyond all known tokens one in a lease is believed: one takeover each second for 30 years.
 * Nobody signs a lease. A token near MAX_TOKEN, taken over into snapshots, would leave none for later.
 */
const MAX_TOKEN_LEAP = 1_000_000_000;

/** Whether a lease's token is so far beyond `highest`, of all that are known elsewhere, that no count can have got there. */
export function isLeap(token: number, highest: number): boolean {
  return token > highest + MAX_TOKEN_LEAP;
}

/** The higher of a lease's `token` and `highest`. Throws ELECTION_CORRUPT where the token isLeap. `name` is the lease. */
export function believe(token: number, highest: number, name: string): number {
  if (!isLeap(token, highest)) return Math.max(token, highest);
  const gap = `its fencing token is ${token}, the highest known elsewhere is ${highest}`;
  throw new ElectionError("ELECTION_CORRUPT", `${name} cannot be trusted: ${gap}`, {
    hint: "No count gets there: find out who wrote it, and delete it. Tokens go on from the highest known elsewhere.",
  });
}

/** Throws ELECTION_CORRUPT where there is none. `name` is the lease. */
export function tokenAfter(highest: number, name: string): number {
  if (highest < MAX_TOKEN) return highest + 1;
  throw new ElectionError("ELECTION_CORRUPT", `no fencing token is left after ${MAX_TOKEN}`, {
    hint: `No count gets there: find out who wrote such a token to ${name} or into the snapshot's metadata.`,
  });
}

/** ELECTION_CORRUPT. `detail` says what is wrong with the object called `name`. */
export function corrupt(name: string, detail: string, cause?: unknown): ElectionError {
  return new ElectionError("ELECTION_CORRUPT", `${name} is no lease: ${detail}`, {
    cause,
    hint: "Delete that object. Its token is not lost: the count goes on from the highest one that a running exporter has seen or a snapshot carries.",
  });
}

export interface Question {
  /** What is tried, on what. */
  readonly what: string;
  /** Who is asked, for the hint: `the store`. */
  readonly server: string;
  readonly limitMs: number;
}

/** Neither stepping down nor shutting down waits for a server that hangs: it is ELECTION_UNAVAILABLE then. */
export function answerBy(
  { what, server, limitMs }: Question,
  clock: Clock,
): Deadline & { readonly late: () => ElectionError } {
  const seconds = Math.round(limitMs / 100) / 10;
  const late = () =>
    new ElectionError("ELECTION_UNAVAILABLE", `could not ${what}: no answer within ${seconds} s`, {
      hint: `Look at ${server} and the network; a longer KONG_FALLBACK_LEASE_TTL bears more.`,
    });
  return { ms: limitMs, clock, late };
}

/** Each write of it came too late, though it is ours. `what` was tried, on what. */
export function keepsChanging(what: string): ElectionError {
  return new ElectionError("ELECTION_UNAVAILABLE", `could not ${what}: it keeps changing`);
}
