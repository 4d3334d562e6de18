/** Makes one snapshot current in one store: under the lease, through the archive, and what it replaces is kept. */

import { withFields } from "../../core/log.ts";
import { SnapshotError } from "../../snapshots/errors.ts";
import { isSameConfig } from "../../snapshots/order.ts";
import { metadataOf } from "../../snapshots/sighting.ts";
import { describeBare, type NewSnapshot, type SnapshotMetadata } from "../../snapshots/snapshot.ts";
import { askPreconditions } from "../store.ts";
import { idOfCurrent, tryRead } from "./listing.ts";
import { type ActionContext, type Place, placeName, sightCurrentOf } from "./place.ts";
import { RestoreError } from "./restore-error.ts";
import { restoredMetadata } from "./restored-metadata.ts";
import { takeSeat } from "./seat.ts";

export type Restored =
  | {
      readonly kind: "restored";
      readonly fencingToken: number;
      /** Under which id what was replaced is kept; undefined where there was nothing that could be used. */
      readonly replacedId: string | undefined;
    }
  /** Nothing was written: this very config is current. */
  | { readonly kind: "current" };

export interface RestoreOrder {
  /** The id it has in the history. */
  readonly id: string;
  readonly snapshot: NewSnapshot;
  readonly takeOver: boolean;
}

/** Rejects with RestoreError, ElectionError, SnapshotError or StoreError; then what was current still is, unless the answer to the write was lost. */
export async function restoreIn(
  place: Place,
  { id, snapshot, takeOver }: RestoreOrder,
  context: ActionContext,
  signal: AbortSignal,
): Promise<Restored> {
  const { clock, log } = context;
  const { archive, store, version } = place;
  if (await isCurrent(snapshot, place, signal)) return { kind: "current" };
  const storeLog = withFields(log, { store: store.url });
  const conditional = await askPreconditions(store, version, storeLog)(signal);
  await using seat = await takeSeat({ place, conditional, takeOver }, context, signal);
  const replaced = await keepCurrent(place, conditional, clock.now(), signal);
  const metadata = restoredMetadata(snapshot, replaced?.metadata, {
    id,
    fencingToken: seat.token,
    now: clock.now(),
  });
  const outcome = await archive.save(
    { config: snapshot.config, metadata },
    { conditional },
    signal,
  );
  if (outcome.kind === "stale") {
    const { rule, stored, fresh } = outcome.why;
    throw new RestoreError(
      "RESTORE_OVERTAKEN",
      `could not restore ${placeName(place)}: meanwhile a newer config was saved there (${rule} ${stored}, ours ${fresh})`,
      { hint: "See kong-fallback snapshots list, and restore again if it is still wanted." },
    );
  }
  return { kind: "restored", fencingToken: seat.token, replacedId: replaced?.id };
}

async function isCurrent(
  { metadata }: NewSnapshot,
  place: Place,
  signal: AbortSignal,
): Promise<boolean> {
  const current = await tryRead(() => sightCurrentOf(place, signal), signal);
  const known = current.kind === "bad" ? undefined : metadataOf(current.snapshot);
  return known !== undefined && isSameConfig(known, metadata);
}

/** Of the current one, and the id under which the history has it now; undefined where there is none that can be used. */
async function keepCurrent(
  place: Place,
  conditional: boolean,
  now: Date,
  signal: AbortSignal,
): Promise<
  { readonly id: string | undefined; readonly metadata: SnapshotMetadata | undefined } | undefined
> {
  const { archive, version } = place;
  const current = await tryRead(() => sightCurrentOf(place, signal), signal);
  if (current.kind === "bad") {
    if (current.error instanceof SnapshotError) return undefined;
    throw current.error;
  }
  const sighting = current.snapshot;
  const metadata = metadataOf(sighting);
  if (metadata === undefined) {
    if (sighting.kind === "sealed") return undefined;
    const { config } = sighting.snapshot;
    const bare = { config, metadata: describeBare(config, version, now) };
    return { id: await archive.history.add(bare, { conditional }, signal), metadata };
  }
  await archive.ensureInHistory({ conditional }, signal);
  return { id: idOfCurrent(current, await archive.history.list(signal)), metadata };
}
