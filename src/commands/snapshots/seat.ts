/** The right to write for as long as a restore takes: the exporters' own lease, won or taken. */

import type { Log } from "../../core/log.ts";
import { believe, protectedMs, tokenAfter } from "../../election/lease.ts";
import type { Leadership } from "../../election/port.ts";
import { type StoredLease, StorePlace } from "../../election/store.ts";
import { leaseKey } from "../../snapshots/layout.ts";
import { StoreError } from "../../store/port.ts";
import type { CommandContext } from "../context.ts";
import { openElection } from "../election.ts";
import { UsageError } from "../usage-error.ts";
import { type Place, placeName } from "./place.ts";
import { RestoreError } from "./restore-error.ts";

/** Given back by dispose, so that an exporter takes over at once. */
export interface Seat extends AsyncDisposable {
  /** Higher than any before; without an election, the highest. */
  readonly token: number;
}

export interface SeatRequest {
  readonly place: Place;
  /** Whether the store honours conditional writes. */
  readonly conditional: boolean;
  /** Take the lease from whoever holds it. */
  readonly takeOver: boolean;
}

/** Who holds the lease meanwhile, as exporters see it. */
const HOLDER = "snapshots-restore";
/** Looks are up to a third of the lease apart, and a store may be slow. */
const MIN_LOOK_MS = 2_000;
/** How often taking starts over because the holder renewed in between. */
const MAX_CONFLICTS = 10;

/** Rejects with RestoreError, ElectionError, StoreError; with UsageError for a lease that cannot be taken. */
export async function takeSeat(
  request: SeatRequest,
  context: CommandContext,
  signal: AbortSignal,
): Promise<Seat> {
  const { conditional, takeOver } = request;
  const { election } = context.settings;
  if (takeOver && election === "kubernetes") {
    throw new UsageError(
      "--take-over can take a lease in a store, not one of Kubernetes",
      "Scale the exporters down to none, restore without --take-over, and scale them up again.",
    );
  }
  // Where no lease is possible, the election says so.
  return takeOver && conditional && election === "store"
    ? takeLease(request, context, signal)
    : winLease(request, context, signal);
}

/** As one more contender: the lease of a dead holder is waited for, that of a living one is not won. */
async function winLease(
  request: SeatRequest,
  context: CommandContext,
  signal: AbortSignal,
): Promise<Seat> {
  const { place, conditional } = request;
  const { settings, clock, stderr, log } = context;
  const election = await openElection(context, {
    ...place,
    exporterId: HOLDER,
    conditional: async () => conditional,
    log,
  });
  const found =
    settings.election === "store" ? await leasePlace(request, context).read(signal) : undefined;
  // One that is missing where tokens were given out is waited for, too.
  const restMs = found === undefined ? settings.leaseTtlMs : protectedMs(found.claim);
  const waitMs = restMs + Math.max((settings.leaseTtlMs * 2) / 3, MIN_LOOK_MS);
  let holder: string | undefined;
  const tooLong = new AbortController();
  const decided = new AbortController();
  clock.sleep(waitMs, AbortSignal.any([signal, decided.signal])).then(
    () => tooLong.abort(notWon(holder, place, context)),
    // Won, refused, or interrupted.
    () => {},
  );
  const campaign = election.campaign(AbortSignal.any([signal, tooLong.signal]));
  const changes = campaign[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { value: change }: { value: Leadership } = await changes.next();
      if (change.kind === "holder") {
        const { token } = change;
        return { token, [Symbol.asyncDispose]: () => election[Symbol.asyncDispose]() };
      }
      holder = change.holder;
      const who = holder === undefined ? "the lease is missing" : `${holder} holds the lease`;
      const seconds = Math.round(waitMs / 1000);
      stderr.write(`${who}: waiting up to ${seconds} s to see whether an exporter lives\n`);
    }
  } catch (error) {
    await election[Symbol.asyncDispose]();
    throw error;
  } finally {
    decided.abort();
  }
}

/** `holder` is undefined where nobody was seen to hold it: then the log says what failed. */
function notWon(
  holder: string | undefined,
  place: Place,
  { settings }: CommandContext,
): RestoreError {
  const why =
    holder === undefined ? "the lease was not to be had" : `the exporter ${holder} is alive`;
  const taking =
    settings.election === "store"
      ? ", or take the lease with --take-over: they get it back afterwards"
      : " and start them again afterwards";
  return new RestoreError("RESTORE_LEASE_HELD", `could not restore ${placeName(place)}: ${why}`, {
    hint: `Stop the exporters${taking}.`,
  });
}

/** Writes a lease of ours over the holder's, who sees it at the next renewal and steps down; its writes are refused by the token before that. */
async function takeLease(
  request: SeatRequest,
  context: CommandContext,
  signal: AbortSignal,
): Promise<Seat> {
  const { archive } = request.place;
  const lease = leasePlace(request, context);
  for (let conflicts = 0; conflicts <= MAX_CONFLICTS; conflicts += 1) {
    const found = await lease.read(signal);
    const highest = await archive.highestToken(signal);
    const token = tokenAfter(believe(found?.token ?? 0, highest, lease.name), lease.name);
    const held = await lease.take(token, found, signal);
    if (held === undefined) continue;
    return { token, [Symbol.asyncDispose]: () => release(lease, held, context.log) };
  }
  throw new RestoreError(
    "RESTORE_OVERTAKEN",
    `could not take the lease ${lease.name}: it changed under each attempt`,
    { hint: "Try again, or stop the exporters." },
  );
}

/** Not released, it expires by itself. */
async function release(lease: StorePlace, held: StoredLease, log: Log): Promise<void> {
  try {
    // Nothing is changed where it was released before, or taken from us.
    await lease.release(held, new AbortController().signal);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    log.warn({ err: error }, "lease not released, exporters take it when it expires");
  }
}

function leasePlace(
  { place: { store, version }, conditional }: SeatRequest,
  { settings, hostname, clock }: CommandContext,
): StorePlace {
  return new StorePlace({
    store,
    key: leaseKey(version),
    exporter: { id: HOLDER, hostname },
    ttlMs: settings.leaseTtlMs,
    conditional: async () => conditional,
    clock,
  });
}
