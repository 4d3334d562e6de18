/** The lease where it lies in the store: read as it is, written only on a condition. */

import { randomUUID } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import {
  type Key,
  type Precondition,
  type Store,
  type StoredObject,
  StoreError,
  type Version,
} from "../store/port.ts";
import { corrupt, decodeLease, encodeLease, type Lease } from "./lease.ts";

export interface FoundLease {
  readonly lease: Lease;
  readonly version: Version;
}

export interface LeaseObjectOptions {
  readonly store: Store;
  readonly key: Key;
  readonly exporter: { readonly id: string; readonly hostname: string };
  readonly ttlMs: number;
  readonly clock: Clock;
}

/** A lease has some 300 bytes; whatever is longer is none. */
const MAX_BYTES = 16 * 1024;

/** The lease as one campaign reads and writes it. No retry inside. */
export class LeaseObject {
  readonly #options: LeaseObjectOptions;
  readonly #session = randomUUID();
  #sequence = 0;

  constructor(options: LeaseObjectOptions) {
    this.#options = options;
  }

  /** The object with its store, for messages. */
  get name(): string {
    return `${this.#options.store.url}/${this.#options.key}`;
  }

  /** Whether this campaign wrote it. */
  isOurs(lease: Lease): boolean {
    return lease.session === this.#session;
  }

  /** Undefined if there is none. Rejects with StoreError, or with ELECTION_CORRUPT for what is no lease. */
  async read(signal: AbortSignal): Promise<FoundLease | undefined> {
    const { store, key } = this.#options;
    let object: StoredObject;
    try {
      object = await store.get(key, { maxBytes: MAX_BYTES }, signal);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error.code === "STORE_NOT_FOUND") return undefined;
      if (error.code === "STORE_TOO_LARGE") throw corrupt(this.name, "it is too long", error);
      throw error;
    }
    return { lease: decodeLease(object.body, this.name), version: object.version };
  }

  /** A lease to be written, unlike any before. */
  draft(token: number, state: Lease["state"]): Lease {
    const { exporter, ttlMs, clock } = this.#options;
    this.#sequence += 1;
    return {
      holder: exporter.id,
      // The machine chose it, and a lease that nobody can read would stop every election.
      hostname: exporter.hostname.replace(/[^\x20-\x7e]/g, "?").slice(0, 255) || "unknown",
      session: this.#session,
      sequence: this.#sequence,
      token,
      ttlMs,
      state,
      renewedAt: clock.now(),
    };
  }

  /** Rejects with StoreError: STORE_PRECONDITION_FAILED says that this write did not happen, others leave it open. */
  async write(lease: Lease, when: Precondition, signal: AbortSignal): Promise<Version> {
    const { store, key } = this.#options;
    const options = { metadata: {}, contentType: "application/json", when };
    return (await store.put(key, encodeLease(lease), options, signal)).version;
  }
}
