/** Makes a snapshot of the history the current one, by an operator's word: under the lease, through the archive, and what it replaces is kept. */

import { type Result, resultOf } from "../core/result.ts";
import { diffConfigs, type KindDiff } from "../kong/diff/diff.ts";
import { countEntities } from "../kong/entity-counts.ts";
import { SnapshotError } from "../snapshots/errors.ts";
import {
  isSameConfig,
  type Provenance,
  stampedAfter,
  UNKNOWN_PROVENANCE,
} from "../snapshots/order.ts";
import { restoredExporterId } from "../snapshots/restored.ts";
import type { SealMarks } from "../snapshots/seal/seal.ts";
import { metadataOf } from "../snapshots/sighting.ts";
import {
  describeBare,
  type NewSnapshot,
  type Snapshot,
  type SnapshotMetadata,
} from "../snapshots/snapshot.ts";
import { folderName, readCurrent, sightCurrentOf, type VersionFolder } from "./folder.ts";
import { idOfCurrent } from "./list.ts";
import { obtainLease, RestoreError, type RestoreLeaseContext } from "./restore-lease.ts";

export interface RestoreOrder {
  /** The id it has in the history. */
  readonly id: string;
  readonly snapshot: NewSnapshot;
  /** Take the lease from whoever holds it. */
  readonly takeOver: boolean;
}

export interface RestoreContext extends RestoreLeaseContext {
  /** Whether the store of this folder honours conditional writes. */
  askPreconditions(folder: VersionFolder, signal: AbortSignal): Promise<boolean>;
}

export type Restored =
  | {
      readonly kind: "restored";
      readonly fencingToken: number;
      /** Under which id what was replaced is kept; undefined where there was nothing that could be used. */
      readonly replacedId: string | undefined;
    }
  /** Nothing was written: this very config is current. */
  | { readonly kind: "current" };

/** Rejects with RestoreError, ElectionError, SnapshotError or StoreError; then what was current still is, unless the answer to the write was lost. */
export async function restoreIn(
  folder: VersionFolder,
  { id, snapshot, takeOver }: RestoreOrder,
  context: RestoreContext,
  signal: AbortSignal,
): Promise<Restored> {
  const { archive } = folder;
  const { clock } = context;
  const current = await resultOf(() => sightCurrentOf(folder, signal), signal);
  const known = current.kind === "bad" ? undefined : metadataOf(current.value);
  if (known !== undefined && isSameConfig(known, snapshot.metadata)) return { kind: "current" };
  const conditional = await context.askPreconditions(folder, signal);
  await using lease = await obtainLease({ folder, conditional, takeOver }, context, signal);
  const replaced = await keepCurrent(folder, conditional, clock.now(), signal);
  // An exporter may have saved it while the lease was waited for.
  if (replaced?.metadata !== undefined && isSameConfig(replaced.metadata, snapshot.metadata)) {
    return { kind: "current" };
  }
  const metadata = restoredMetadata(snapshot, replaced?.metadata, {
    id,
    fencingToken: lease.token,
    now: clock.now(),
  });
  const restored = { config: snapshot.config, metadata };
  const provenance: Provenance = {
    ...UNKNOWN_PROVENANCE,
    follows: (stored) =>
      replaced?.metadata !== undefined && isSameConfig(stored, replaced.metadata),
  };
  const outcome = await archive.save(restored, { conditional, provenance }, signal);
  if (outcome.kind !== "saved" && outcome.kind !== "unchanged") {
    throw new RestoreError(
      "RESTORE_OVERTAKEN",
      `could not restore ${folderName(folder)}: another config was saved there in the meantime`,
      { hint: "See kong-fallback snapshots list, and restore again if it is still wanted." },
    );
  }
  return { kind: "restored", fencingToken: lease.token, replacedId: replaced?.id };
}

/** What a restore would change in a folder. */
export type RestoreEffect =
  /** Nothing: this very config is current. */
  | { readonly kind: "current" }
  | { readonly kind: "replaces"; readonly replaced: Snapshot; readonly kinds: readonly KindDiff[] };

/** Bad: what is current cannot be used, so there is nothing to compare with. Rejects only with `signal.reason`. */
export async function previewRestore(
  folder: VersionFolder,
  chosen: NewSnapshot,
  signal: AbortSignal,
): Promise<Result<RestoreEffect>> {
  const current = await resultOf(() => readCurrent(folder, signal), signal);
  if (current.kind === "bad") return current;
  const { config, metadata } = current.value;
  if (metadata !== undefined && isSameConfig(metadata, chosen.metadata)) {
    return { kind: "good", value: { kind: "current" } };
  }
  const kinds = diffConfigs(config, chosen.config);
  return { kind: "good", value: { kind: "replaces", replaced: current.value, kinds } };
}

/**
 * What is signed and encrypted is to be so when it is current again; so is what takes the place of one
 * that is: readers and exporters there would not have it otherwise. `own`: what we would do. Gives
 * what would be lost, as far as it can be told.
 */
export async function lostSeal(
  chosen: SealMarks | undefined,
  folders: readonly VersionFolder[],
  own: { readonly signs: boolean; readonly encrypts: boolean },
  signal: AbortSignal,
): Promise<{ readonly signature: boolean; readonly encryption: boolean }> {
  const marks = chosen === undefined ? [] : [chosen];
  for (const folder of folders) {
    const current = await resultOf(() => sightCurrentOf(folder, signal), signal);
    if (current.kind === "good") marks.push(current.value.marks);
  }
  return {
    signature: !own.signs && marks.some(({ signedBy }) => signedBy !== undefined),
    encryption: !own.encrypts && marks.some(({ sealedFor }) => sealedFor !== undefined),
  };
}

/** Of the current one, and the id under which the history has it now; undefined where there is none that can be used. */
async function keepCurrent(
  folder: VersionFolder,
  conditional: boolean,
  now: Date,
  signal: AbortSignal,
): Promise<
  { readonly id: string | undefined; readonly metadata: SnapshotMetadata | undefined } | undefined
> {
  const { archive, version } = folder;
  const current = await resultOf(() => sightCurrentOf(folder, signal), signal);
  if (current.kind === "bad") {
    if (current.error instanceof SnapshotError) return undefined;
    throw current.error;
  }
  const sighting = current.value;
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

/**
 * What it says about itself from now on: also what it replaces, so that no exporter puts that back
 * which has it in memory, or is given it again.
 */
function restoredMetadata(
  { config, metadata }: NewSnapshot,
  replaced: SnapshotMetadata | undefined,
  by: { readonly id: string; readonly fencingToken: number; readonly now: Date },
): SnapshotMetadata {
  const restored = {
    ...metadata,
    exportedAt: by.now,
    clusterId: replaced?.clusterId ?? metadata.clusterId,
    exporterId: restoredExporterId(by.id, replaced),
    fencingToken: by.fencingToken,
    entities: metadata.entities ?? countEntities(config),
  };
  return stampedAfter(restored, replaced);
}
