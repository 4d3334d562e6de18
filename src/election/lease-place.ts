/** Where a lease lies, as a campaign sees it: what was found there, and what it can do with it. */

/** A lease as it was read or written. */
export interface SeenLease {
  /** Whether this campaign wrote it, and did not release it. */
  readonly isOurs: boolean;
  /** For people; empty where nobody is named. */
  readonly holder: string;
  /** The highest that it knows of; 0 if none. */
  readonly token: number;
  /** Never falls under one holder, as far as the place counts its writes. */
  readonly sequence: number;
  /** How long others must see it unchanged before they may take it, milliseconds; 0: at once. */
  readonly protectedMs: number;
  /** Opaque, another one after each write. */
  readonly version: string;
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
