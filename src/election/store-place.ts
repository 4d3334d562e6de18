/** The lease of one campaign in a store: told apart by its session, its writes by their sequence. */

import { type Precondition, StoreError, type Version } from "../store/port.ts";
import { type Lease, protectedMs } from "./lease.ts";
import { type FoundLease, LeaseObject, type LeaseObjectOptions } from "./lease-object.ts";
import type { LeasePlace, SeenLease } from "./lease-place.ts";
import { ElectionError } from "./port.ts";

export interface StorePlaceOptions extends LeaseObjectOptions {
  readonly conditional: (signal: AbortSignal) => Promise<boolean>;
}

export interface StoredLease extends SeenLease {
  readonly version: Version;
}

export class StorePlace implements LeasePlace<StoredLease> {
  readonly server = "the store";
  readonly #options: StorePlaceOptions;
  readonly #object: LeaseObject;

  constructor(options: StorePlaceOptions) {
    this.#options = options;
    this.#object = new LeaseObject(options);
  }

  get name(): string {
    return this.#object.name;
  }

  async check(signal: AbortSignal): Promise<void> {
    const { conditional, store } = this.#options;
    if (await conditional(signal)) return;
    throw new ElectionError(
      "ELECTION_UNSAFE",
      `${store.url} does not honour conditional writes: a lease there keeps nobody from writing`,
      {
        hint: "Run one exporter and set KONG_FALLBACK_ELECTION=off, or use a store that honours them.",
      },
    );
  }

  async read(signal: AbortSignal): Promise<StoredLease | undefined> {
    const found = await this.#object.read(signal);
    return found && this.#see(found);
  }

  take(token: number, over: StoredLease | undefined, signal: AbortSignal) {
    return this.#write(token, "held", over, signal);
  }

  renew(held: StoredLease, signal: AbortSignal) {
    return this.#write(held.token, "held", held, signal);
  }

  release(held: StoredLease, signal: AbortSignal) {
    return this.#write(held.token, "released", held, signal);
  }

  async #write(
    token: number,
    state: Lease["state"],
    over: StoredLease | undefined,
    signal: AbortSignal,
  ): Promise<StoredLease | undefined> {
    const lease = this.#object.draft(token, state);
    const when: Precondition =
      over === undefined ? { ifAbsent: true } : { ifVersion: over.version };
    try {
      return this.#see({ lease, version: await this.#object.write(lease, when, signal) });
    } catch (error) {
      if (error instanceof StoreError && error.code === "STORE_PRECONDITION_FAILED") {
        return undefined;
      }
      throw error;
    }
  }

  #see({ lease, version }: FoundLease): StoredLease {
    const { holder, hostname, token, sequence, state } = lease;
    return {
      isOurs: this.#object.isOurs(lease) && state === "held",
      holder: `${holder} on ${hostname}`,
      token,
      sequence,
      protectedMs: protectedMs(lease),
      version,
    };
  }
}
