/** The lease of the `store` election as a document: who holds it, under which token, and how long others leave it alone. */

import { ElectionError } from "./port.ts";

export interface Lease {
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
}

/** So that it fits into the 15 digits that a snapshot's metadata has room for (docs/format.md). */
export const MAX_TOKEN = 999_999_999_999_999;
/**
 * How far beyond all known tokens one in a lease is believed: one takeover each second for 30 years.
 * Nobody signs a lease. A token near MAX_TOKEN, taken over into snapshots, would leave none for later.
 */
const MAX_TOKEN_LEAP = 1_000_000_000;
/** Below a second, a slow answer of a store looks like the death of the holder. */
export const MIN_LEASE_TTL_MS = 1_000;
export const MAX_LEASE_TTL_MS = 5 * 60_000;

/** Canonical: these members in this order, no blanks. */
export function encodeLease(lease: Lease): Uint8Array {
  const { holder, hostname, session, sequence, token, ttlMs, state, renewedAt } = lease;
  return new TextEncoder().encode(
    JSON.stringify({
      holder,
      hostname,
      session,
      sequence,
      token,
      ttlMs,
      state,
      renewedAt: renewedAt.toISOString(),
    }),
  );
}

/** Members it does not know are left out. `name` is the object, for messages. Throws ELECTION_CORRUPT. */
export function decodeLease(body: Uint8Array, name: string): Lease {
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
  };
}

/** How long others must see the lease unchanged before they may take it, milliseconds: 0 for one that was released. */
export function protectedMs({ state, ttlMs }: Lease): number {
  if (state === "released") return 0;
  return Math.min(Math.max(ttlMs, MIN_LEASE_TTL_MS), MAX_LEASE_TTL_MS);
}

/** `detail` says what is wrong with the object called `name`. */
export function corrupt(name: string, detail: string, cause?: unknown): ElectionError {
  return new ElectionError("ELECTION_CORRUPT", `${name} is no lease: ${detail}`, {
    cause,
    hint: "Delete that object. Its token is not lost: the count goes on from the highest one that a running exporter has seen or a snapshot carries.",
  });
}

/** Whether a lease's token is so far beyond `highest`, of all that are known elsewhere, that no count can have got there. */
export function isLeap(token: number, highest: number): boolean {
  return token > highest + MAX_TOKEN_LEAP;
}

/** ELECTION_CORRUPT for the lease `name` whose token isLeap. */
export function unbelievable(name: string, token: number, highest: number): ElectionError {
  const gap = `its fencing token is ${token}, the highest known elsewhere is ${highest}`;
  return new ElectionError("ELECTION_CORRUPT", `${name} is not to be believed: ${gap}`, {
    hint: "No count gets there: look who wrote it, and delete it. Tokens go on from the highest known elsewhere.",
  });
}

/** ELECTION_CORRUPT. `name` is the lease. */
export function noTokenLeft(name: string): ElectionError {
  return new ElectionError("ELECTION_CORRUPT", `no fencing token is left after ${MAX_TOKEN}`, {
    hint: `No count gets there: look who wrote such a token to ${name} or into the snapshot's metadata.`,
  });
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
