/** The right to write for as long as a restore takes: the exporters' own lease, won or taken. */

import type { Clock } from "../core/clock.ts";
import { type ErrorDetails, ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { Scope, within } from "../core/waiting.ts";
import { believe, protectedMs, tokenAfter } from "../election/lease.ts";
import type { Election, Leadership } from "../election/port.ts";
import { type StoredLease, StorePlace } from "../election/store.ts";
import { leaseKey } from "../snapshots/layout.ts";
import { StoreError } from "../store/port.ts";
import { folderName, type VersionFolder } from "./folder.ts";

/** Given back by dispose, so that an exporter takes over at once. */
export interface RestoreLease extends AsyncDisposable {
  /** Higher than any before; without an election, the highest. */
  readonly token: number;
}

export interface RestoreLeaseRequest {
  readonly folder: VersionFolder;
  /** Whether the store honours conditional writes. */
  readonly conditional: boolean;
  /** Take the lease from whoever holds it; of no effect where it does not lie in the store. */
  readonly takeOver: boolean;
}

export interface RestoreLeaseContext {
  /** How the exporters agree on which of them writes. */
  readonly election: "store" | "kubernetes" | "off";
  /** To take part in that under this id. */
  openElection(folder: VersionFolder, id: string, conditional: boolean): Promise<Election>;
  readonly leaseTtlMs: number;
  readonly hostname: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Tells whoever waits what for: one line, without its end. */
  say(line: string): void;
}

/**
 * - `RESTORE_LEASE_HELD`: an exporter holds the lease, so it alone may write, or the lease cannot be reached. Stop the exporters, or take the lease with --take-over.
 * - `RESTORE_OVERTAKEN`: somebody else wrote a newer config, or took the lease, at the same moment. Look at what is current, and restore again.
 */
export type RestoreErrorCode = "RESTORE_LEASE_HELD" | "RESTORE_OVERTAKEN";

export class RestoreError extends ServiceError {
  readonly code: RestoreErrorCode;
  readonly exitStatus: 2 | 4;

  constructor(code: RestoreErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, { retryable: false, ...details });
    this.code = code;
    this.exitStatus = code === "RESTORE_OVERTAKEN" ? 4 : 2;
  }
}

/** Who holds the lease meanwhile, as exporters see it. */
const HOLDER = "snapshots-restore";
/** Looks are up to a third of the lease apart, and a store may be slow. */
const MIN_LOOK_MS = 2_000;
/** How often taking starts over because the holder renewed in between. */
const MAX_CONFLICTS = 10;

/** Rejects with RestoreError, ElectionError, StoreError. */
export async function obtainLease(
  request: RestoreLeaseRequest,
  context: RestoreLeaseContext,
  signal: AbortSignal,
): Promise<RestoreLease> {
  const { conditional, takeOver } = request;
  // Where no lease is possible, the election says so.
  return takeOver && conditional && context.election === "store"
    ? takeLease(request, context, signal)
    : winLease(request, context, signal);
}

/** As one more contender: the lease of a dead holder is waited for, that of a living one is not won. */
async function winLease(
  request: RestoreLeaseRequest,
  context: RestoreLeaseContext,
  signal: AbortSignal,
): Promise<RestoreLease> {
  const { folder, conditional } = request;
  const { leaseTtlMs, clock, say } = context;
  const election = await context.openElection(folder, HOLDER, conditional);
  try {
    const found =
      context.election === "store" ? await placeOf(request, context).read(signal) : undefined;
    // One that is missing where tokens were given out is waited for, too.
    const restMs = found === undefined ? leaseTtlMs : protectedMs(found.claim);
    const ms = restMs + Math.max((leaseTtlMs * 2) / 3, MIN_LOOK_MS);
    let holder: string | undefined;
    const late = () => notWon(holder, folder, context);
    const token = await within({ ms, clock, late }, signal, async () => {
      // Beyond the deadline: what is won is held until it is given back.
      const changes = election.campaign(signal)[Symbol.asyncIterator]();
      for (;;) {
        const { value: change }: { value: Leadership } = await changes.next();
        if (change.kind === "holder") return change.token;
        holder = change.holder;
        const who = holder === undefined ? "the lease is missing" : `${holder} holds the lease`;
        const seconds = Math.round(ms / 1000);
        say(`${who}: waiting up to ${seconds} s to see whether an exporter is alive`);
      }
    });
    return { token, [Symbol.asyncDispose]: () => election[Symbol.asyncDispose]() };
  } catch (error) {
    await election[Symbol.asyncDispose]();
    throw error;
  }
}

/** `holder` is undefined where nobody was seen to hold it: then the log says what failed. */
function notWon(
  holder: string | undefined,
  folder: VersionFolder,
  { election }: RestoreLeaseContext,
): RestoreError {
  const why =
    holder === undefined ? "the lease could not be obtained" : `the exporter ${holder} is alive`;
  const taking =
    election === "store"
      ? ", or take the lease with --take-over: they get it back afterwards"
      : " and start them again afterwards";
  return new RestoreError("RESTORE_LEASE_HELD", `could not restore ${folderName(folder)}: ${why}`, {
    hint: `Stop the exporters${taking}.`,
  });
}

/** Writes a lease of ours over the holder's, who sees it at the next renewal and steps down; its writes are refused by the token before that. */
async function takeLease(
  request: RestoreLeaseRequest,
  context: RestoreLeaseContext,
  signal: AbortSignal,
): Promise<RestoreLease> {
  const { archive } = request.folder;
  const place = placeOf(request, context);
  for (let conflicts = 0; conflicts <= MAX_CONFLICTS; conflicts += 1) {
    const found = await place.read(signal);
    const highest = await archive.highestToken(signal);
    const token = tokenAfter(believe(found?.token ?? 0, highest, place.name), place.name);
    const held = await place.take(token, found, signal);
    if (held === undefined) continue;
    return { token, [Symbol.asyncDispose]: () => release(place, held, context) };
  }
  throw new RestoreError(
    "RESTORE_OVERTAKEN",
    `could not take the lease ${place.name}: it changed at every attempt`,
    { hint: "Try again, or stop the exporters." },
  );
}

/** Also after an interruption. Not released, it expires by itself, so nothing is waited for longer. */
async function release(
  place: StorePlace,
  held: StoredLease,
  { leaseTtlMs: ms, clock, log }: RestoreLeaseContext,
): Promise<void> {
  const late = () => new StoreError("STORE_UNAVAILABLE", `could not release ${place.name} in time`);
  using always = new Scope();
  try {
    // Nothing is changed where it was released before, or taken from us.
    await within({ ms, clock, late }, always.signal, (signal) => place.release(held, signal));
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    log.warn({ err: error }, "lease not released, exporters take it when it expires");
  }
}

function placeOf(
  { folder: { store, version }, conditional }: RestoreLeaseRequest,
  { leaseTtlMs, hostname, clock }: RestoreLeaseContext,
): StorePlace {
  return new StorePlace({
    store,
    key: leaseKey(version),
    exporter: { id: HOLDER, hostname },
    ttlMs: leaseTtlMs,
    conditional: async () => conditional,
    clock,
  });
}
