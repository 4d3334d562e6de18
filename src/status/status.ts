/** What `status` finds out about one Kong version: what its stores have, and what the control plane has now. */

import { type Result, resultOf } from "../core/result.ts";
import { type LeaseDocument, readLease } from "../election/store.ts";
import type { ConfigUpdate } from "../kong/reconfigure.ts";
import type { KongVersion } from "../kong/version.ts";
import { reasonOf, type VersionFolder } from "../maintenance/folder.ts";
import { isOlderThan } from "../maintenance/list.ts";
import type { HistoryEntry } from "../snapshots/history.ts";
import { leaseKey } from "../snapshots/layout.ts";
import { isOfAnotherCluster, isSameConfig } from "../snapshots/order.ts";
import type { FoundSighting } from "../snapshots/reader.ts";
import { bestOf, mostUseful } from "../snapshots/replicas.ts";
import { metadataOf } from "../snapshots/sighting.ts";
import { describeBare, type SnapshotMetadata, sha256 } from "../snapshots/snapshot.ts";
import { StoreError } from "../store/port.ts";

export interface VersionStatus {
  readonly version: KongVersion;
  /** What the control plane has now, or why nobody knows; undefined where no control plane is given. */
  readonly live: Result<ConfigUpdate> | undefined;
  /** One for each store. */
  readonly stores: readonly StoreStatus[];
  readonly verdict: Verdict;
}

/** Whether a new data plane that needs the backup gets a config, by the rules of `import` and `serve`. */
export type Verdict =
  /** It gets `found`, which lies in `from`. */
  | { readonly kind: "yes"; readonly from: StoreStatus; readonly found: FoundSighting }
  /** `exitStatus`: 4 where a store that did not answer may have one. */
  | {
      readonly kind: "no";
      readonly because: string;
      readonly hint: string | undefined;
      readonly exitStatus: 3 | 4;
    };

export interface StoreStatus {
  readonly folder: VersionFolder;
  /** What readers get from it who have the keys: see StoreReader.sight. */
  readonly latest: Result<FoundSighting>;
  /** How that compares with what the control plane has now. */
  readonly comparison: Comparison;
  /** Id of one in the history that is newer, though the current one should be: somebody put an old one back. */
  readonly newerId: string | undefined;
  /** The newest first; undefined where the store does not tell. */
  readonly held: readonly HistoryEntry[] | undefined;
  /** Why the newest of these was held back. */
  readonly heldBecause: string | undefined;
  /** Undefined: there is none in the store. */
  readonly lease: Result<LeaseDocument | undefined>;
}

export type Comparison =
  | { readonly kind: "same" }
  /** Another config. `seconds` by the control plane's own timestamps; undefined where one is missing. */
  | { readonly kind: "behind"; readonly seconds: number | undefined }
  /** Another config, and the saved one is newer: it was restored, or comes from a control plane whose clock is ahead. */
  | { readonly kind: "ahead"; readonly seconds: number }
  /** The config of another control plane; `live` is the id of the cluster that was asked. */
  | { readonly kind: "foreign"; readonly live: string }
  | { readonly kind: "unknown"; readonly reason: string }
  /** No control plane is given. */
  | { readonly kind: "unasked" };

/** 0: a new data plane gets a config; else see Verdict. */
export function exitStatusOf({ verdict }: VersionStatus): 0 | 3 | 4 {
  return verdict.kind === "yes" ? 0 : verdict.exitStatus;
}

/** Entries of the history that are read to find a good one. */
const MAX_READ = 20;

export interface Inquiry {
  /** What readers get from the store of a folder. */
  readonly sight: (folder: VersionFolder, signal: AbortSignal) => Promise<FoundSighting>;
  /** What the control plane has now, see `fetchConfig`; undefined where none is given. */
  readonly ask: ((signal: AbortSignal) => Promise<ConfigUpdate>) | undefined;
}

/** All are asked at the same time. `folders`, not empty: of this version. Rejects only with `signal.reason`: what fails is part of the answer. */
export async function statusOf(
  version: KongVersion,
  folders: readonly VersionFolder[],
  { sight, ask }: Inquiry,
  signal: AbortSignal,
): Promise<VersionStatus> {
  const [live, ...found] = await Promise.all([
    ask && resultOf(() => ask(signal), signal),
    ...folders.map((folder) => lookAt(folder, sight, signal)),
  ]);
  const stores = found.map((each) => ({ ...each, comparison: compare(live, each.latest) }));
  return { version, live, stores, verdict: verdictOf(version, stores) };
}

async function lookAt(
  folder: VersionFolder,
  sight: Inquiry["sight"],
  signal: AbortSignal,
): Promise<Omit<StoreStatus, "comparison">> {
  const { history } = folder.archive;
  const latest = await resultOf(() => sight(folder, signal), signal);
  const lease = await resultOf(() => lookAtLease(folder, signal), signal);
  const entries = await resultOf(() => history.list(signal), signal);
  if (entries.kind === "bad") {
    return { folder, latest, newerId: undefined, held: undefined, heldBecause: undefined, lease };
  }
  const held = entries.value.filter((entry) => entry.held);
  const kept = entries.value.filter((entry) => !entry.held).slice(0, MAX_READ);
  return {
    folder,
    latest,
    newerId: await newerThan(latest, kept, folder, signal),
    held,
    heldBecause: await heldReason(folder, held[0], signal),
    lease,
  };
}

/** The id of the newest good one of `entries`, if that is newer than `latest`. */
async function newerThan(
  latest: StoreStatus["latest"],
  entries: readonly HistoryEntry[],
  { archive }: VersionFolder,
  signal: AbortSignal,
): Promise<string | undefined> {
  const metadata = latest.kind === "bad" ? undefined : metadataOf(latest.value);
  if (metadata === undefined) return undefined;
  for (const { id } of entries) {
    const kept = await resultOf(() => archive.history.sight(id, signal), signal);
    if (kept.kind === "good") return isOlderThan(kept.value.metadata, metadata) ? id : undefined;
  }
  return undefined;
}

async function heldReason(
  folder: VersionFolder,
  entry: HistoryEntry | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (entry === undefined) return undefined;
  const kept = await resultOf(() => folder.archive.history.sight(entry.id, signal), signal);
  return kept.kind === "good" ? kept.value.held : reasonOf(kept.error, folder, entry.id);
}

async function lookAtLease(
  { store, version }: VersionFolder,
  signal: AbortSignal,
): Promise<LeaseDocument | undefined> {
  return (await readLease({ store, key: leaseKey(version) }, signal))?.document;
}

function compare(live: VersionStatus["live"], latest: StoreStatus["latest"]): Comparison {
  if (live === undefined) return { kind: "unasked" };
  if (live.kind === "bad") return { kind: "unknown", reason: live.error.message };
  const saved = latest.kind === "bad" ? undefined : metadataOf(latest.value);
  if (saved === undefined) {
    return { kind: "unknown", reason: "what is saved carries no metadata to compare by" };
  }
  const { clusterId, configHash, configTable, timestamp } = live.value;
  if (clusterId !== undefined && isOfAnotherCluster(saved, clusterId)) {
    return { kind: "foreign", live: clusterId };
  }
  const isSame = isSameConfig(saved, { ...saved, configHash, sha256: sha256(configTable) });
  if (isSame) return { kind: "same" };
  const made = saved.controlPlaneTimestamp;
  if (timestamp === undefined || made === undefined) return { kind: "behind", seconds: undefined };
  const seconds = Math.round(timestamp - made);
  return seconds >= 0 ? { kind: "behind", seconds } : { kind: "ahead", seconds: -seconds };
}

function verdictOf(version: KongVersion, stores: readonly StoreStatus[]): Verdict {
  const good = stores.flatMap((from) =>
    from.latest.kind === "good" ? [{ from, found: from.latest.value }] : [],
  );
  const best = bestOf(version, good, ({ found }) => describe(found));
  if (best === undefined) {
    const errors = stores.flatMap(({ latest }) => (latest.kind === "bad" ? [latest.error] : []));
    const { message: because, hint } = mostUseful(errors);
    const isDown = errors.some((error) => error instanceof StoreError && error.exitStatus === 4);
    return { kind: "no", because, hint, exitStatus: isDown ? 4 : 3 };
  }
  const { comparison, folder } = best.from;
  if (comparison.kind !== "foreign") return { kind: "yes", ...best };
  return {
    kind: "no",
    because: `what lies in ${folder.store.url} is another cluster's: the control plane is of cluster ${comparison.live}`,
    hint: "Check the storage URL's prefix and KONG_CLUSTER_CONTROL_PLANE.",
    exitStatus: 3,
  };
}

/** Of one that is sealed and lost its metadata nothing is known. */
function describe(found: FoundSighting): SnapshotMetadata {
  const config = found.kind === "open" ? found.snapshot.config : new Uint8Array();
  return metadataOf(found) ?? describeBare(config, found.kongVersion, undefined);
}
