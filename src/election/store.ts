/** The election by a lease in the store itself, a small JSON document: needs nothing but conditional writes. docs/format.md */

import { randomUUID } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import { isDeadProcess } from "../core/process-identity.ts";
import {
  type Key,
  type Precondition,
  type Store,
  type StoredObject,
  StoreError,
  type Version,
} from "../store/port.ts";
import {
  boundedTtlMs,
  type Claim,
  corrupt,
  type Exporter,
  type LeasePace,
  type LeasePlace,
  MAX_TOKEN,
  type SeenLease,
} from "./lease.ts";
import { LeaseElection, type LeaseElectionOptions } from "./lease-election.ts";
import { ElectionError } from "./port.ts";

/** Of 15 s: 12 s, 5 s, and looks every 2 to 5 s, for each request to a store costs money. */
const PACE: LeasePace = { holdFor: 4 / 5, renewAfter: 1 / 3, lookWithin: 5 / 15 };

export interface StoreElectionOptions extends LeaseElectionOptions {
  /** Not disposed of. */
  readonly store: Store;
  /** Where the lease lies. */
  readonly key: Key;
  /** Whether the store honours preconditions; without, the campaign rejects with ELECTION_UNSAFE. A ServiceError is tried again. */
  readonly conditional: (signal: AbortSignal) => Promise<boolean>;
}

/** As `LeaseElection`; the holder renews after a third of the TTL and steps down after four fifths. */
export class StoreElection extends LeaseElection<StoredLease> {
  /** Throws RangeError for a TTL out of bounds. */
  constructor(options: StoreElectionOptions) {
    super(options, {
      name: nameOf(options),
      pace: PACE,
      openPlace: () => new StorePlace(options),
    });
  }
}

export interface StorePlaceOptions {
  readonly store: Store;
  readonly key: Key;
  readonly exporter: Exporter;
  readonly ttlMs: number;
  readonly conditional: (signal: AbortSignal) => Promise<boolean>;
  readonly clock: Clock;
}

export interface StoredLease extends SeenLease {
  readonly version: Version;
}

/** The lease of one campaign in a store: told apart by its session, its writes by their sequence. */
export class StorePlace implements LeasePlace<StoredLease> {
  readonly name: string;
  readonly server = "the store";
  readonly #options: StorePlaceOptions;
  readonly #session = randomUUID();
  #sequence = 0;

  constructor(options: StorePlaceOptions) {
    this.name = nameOf(options);
    this.#options = options;
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
    const found = await readLease(this.#options, signal);
    if (found === undefined) return undefined;
    const { document, version } = found;
    const seen = this.#see(document, version);
    if (seen.claim.kind !== "held" || document.process === undefined) return seen;
    // Killed, and started again on the same machine, an exporter need not wait for itself.
    return (await isDeadProcess(document.process)) ? { ...seen, claim: { kind: "free" } } : seen;
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
    state: LeaseDocument["state"],
    over: StoredLease | undefined,
    signal: AbortSignal,
  ): Promise<StoredLease | undefined> {
    const { store, key } = this.#options;
    const document = this.#draft(token, state);
    const when: Precondition =
      over === undefined ? { ifAbsent: true } : { ifVersion: over.version };
    const options = { metadata: {}, contentType: "application/json", when };
    try {
      const { version } = await store.put(key, encodeLease(document), options, signal);
      return this.#see(document, version);
    } catch (error) {
      if (error instanceof StoreError && error.code === "STORE_PRECONDITION_FAILED") {
        return undefined;
      }
      throw error;
    }
  }

  /** Unlike any before. */
  #draft(token: number, state: LeaseDocument["state"]): LeaseDocument {
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
      process: exporter.process,
    };
  }

  #see(document: LeaseDocument, version: Version): StoredLease {
    const { token, sequence } = document;
    return { claim: this.#claimOf(document), token, sequence, version };
  }

  #claimOf({ holder, hostname, session, state, ttlMs }: LeaseDocument): Claim {
    if (state === "released") return { kind: "free" };
    if (session === this.#session) return { kind: "ours" };
    return {
      kind: "held",
      holder: `${holder} on ${hostname}`,
      protectedMs: boundedTtlMs(ttlMs),
    };
  }
}

/** What lies in the store: who holds the lease, under which token, and how long others leave it alone. */
export interface LeaseDocument {
  /** Exporter id: 1 to 128 printable ASCII characters. */
  readonly holder: string;
  /** For people: 1 to 255 printable ASCII characters. */
  readonly hostname: string;
  /** A UUID made for each campaign: two exporters that were given one id are told apart all the same. */
  readonly session: string;
  /** Grows with each write of the session, so that no two writes have the same bytes: on S3 the version is a digest of them. */
  readonly sequence: number;
  readonly token: number;
  /** How long the holder may go without renewing, milliseconds. */
  readonly ttlMs: number;
  readonly state: "held" | "released";
  /** Of the holder's wall clock, for people only. */
  readonly renewedAt: Date;
  /** The holder's, see `processIdentity`: whoever sees it dead need not wait. Absent where it is not known. */
  readonly process?: string | undefined;
}

interface LeaseAddress {
  readonly store: Store;
  readonly key: Key;
}

/** A lease has some 300 bytes; whatever is longer is none. */
const MAX_BYTES = 16 * 1024;

/** Undefined if there is none. Rejects with StoreError, or with ELECTION_CORRUPT for what is no lease. */
export async function readLease(
  address: LeaseAddress,
  signal: AbortSignal,
): Promise<{ readonly document: LeaseDocument; readonly version: Version } | undefined> {
  const name = nameOf(address);
  let object: StoredObject;
  try {
    object = await address.store.get(address.key, { maxBytes: MAX_BYTES }, signal);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (error.code === "STORE_NOT_FOUND") return undefined;
    if (error.code === "STORE_TOO_LARGE") throw corrupt(name, "it is too long", error);
    throw error;
  }
  return { document: decodeLease(object.body, name), version: object.version };
}

/** Canonical: these members in this order, no blanks. */
export function encodeLease(lease: LeaseDocument): Uint8Array {
  const { holder, hostname, session, sequence, token, ttlMs, state, renewedAt, process } = lease;
  const members = { holder, hostname, session, sequence, token, ttlMs, state, renewedAt, process };
  return new TextEncoder().encode(JSON.stringify(members));
}

/** Members it does not know are left out. `name` is the object, for messages. Throws ELECTION_CORRUPT. */
export function decodeLease(body: Uint8Array, name: string): LeaseDocument {
  const members = parseObject(body, name);
  const read = <T>(member: string, parse: (value: unknown) => T | undefined): T => {
    const value = parse(members[member]);
    if (value === undefined) throw corrupt(name, `its member "${member}" is missing or unusable`);
    return value;
  };
  return {
    holder: read("holder", text(128)),
    hostname: read("hostname", text(255)),
    session: read("session", text(36)),
    sequence: read("sequence", positive(Number.MAX_SAFE_INTEGER)),
    token: read("token", positive(MAX_TOKEN)),
    ttlMs: read("ttlMs", positive(Number.MAX_SAFE_INTEGER)),
    state: read("state", (value) => (value === "held" || value === "released" ? value : undefined)),
    renewedAt: read("renewedAt", date),
    ...(members["process"] === undefined ? {} : { process: read("process", text(128)) }),
  };
}

/** The object with its store, for messages. */
function nameOf({ store, key }: LeaseAddress): string {
  return `${store.url}/${key}`;
}

function parseObject(body: Uint8Array, name: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    throw corrupt(name, "it is not JSON", cause);
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw corrupt(name, "it is not a JSON object");
}

function text(maxLength: number): (value: unknown) => string | undefined {
  return (value) =>
    typeof value === "string" && value.length <= maxLength && /^[\x20-\x7e]+$/.test(value)
      ? value
      : undefined;
}

function positive(max: number): (value: unknown) => number | undefined {
  return (value) =>
    typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= max
      ? value
      : undefined;
}

function date(value: unknown): Date | undefined {
  if (typeof value !== "string") return undefined;
  const parsed = new Date(value);
  return Number.isNaN(parsed.getTime()) ? undefined : parsed;
}
