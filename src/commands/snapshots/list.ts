/** `snapshots list`: what is saved, the newest first. */

import type { ServiceError } from "../../core/errors.ts";
import { type Result, resultOf } from "../../core/result.ts";
import { CURRENT, folderName, reasonOf, type VersionFolder } from "../../maintenance/folder.ts";
import { type ListedEntry, type Listing, listFolder } from "../../maintenance/list.ts";
import { metadataOf } from "../../snapshots/sighting.ts";
import type { SnapshotMetadata } from "../../snapshots/snapshot.ts";
import type { ActionContext } from "../folders.ts";
import { print, printJson } from "../output.ts";
import { type Column, formatBytes, formatDuration, formatTable, type Row } from "../text.ts";
import { bytesOf, errorJson, shortExporter, sightingJson, summariseSighting } from "./describe.ts";
import type { SnapshotsRequest } from "./request.ts";

/** How many of the history are read unless all are asked for: each is fetched whole. */
const DEFAULT_LIMIT = 20;

const COLUMNS: readonly Column[] = [
  { title: "ID (time-hash)" },
  { title: "AGE", align: "right" },
  { title: "SIZE", align: "right" },
  { title: "TOKEN", align: "right" },
  { title: "EXPORTER" },
  { title: "STATE" },
];

interface Listed {
  readonly folder: VersionFolder;
  readonly listing: Result<Listing>;
}

/** Resolves to 0 where anything was listed. Rejects as the first folder that failed where nothing was. */
export async function listCommand(
  { all }: Extract<SnapshotsRequest, { kind: "list" }>,
  { folders, stdout, json, clock }: ActionContext,
  signal: AbortSignal,
): Promise<number> {
  const limit = all ? Number.POSITIVE_INFINITY : DEFAULT_LIMIT;
  const listed: Listed[] = [];
  for (const folder of folders) {
    const listing = await resultOf(() => listFolder(folder, limit, signal), signal);
    listed.push({ folder, listing });
  }
  const failures = listed.map(({ listing }) => failureOf(listing));
  const failure = failures.find((error) => error !== undefined);
  if (failure !== undefined && failures.every((error) => error !== undefined)) throw failure;
  if (json) {
    await printJson(stdout, listed.map(toJson), signal);
  } else {
    const texts = listed.map((each) => toText(each, clock.now()));
    await print(stdout, texts.join("\n"), signal);
  }
  return 0;
}

/** Why there is nothing to list. */
function failureOf(listing: Result<Listing>): ServiceError | undefined {
  if (listing.kind === "bad") return listing.error;
  const { current, entries } = listing.value;
  return current.kind === "bad" && entries.length === 0 ? current.error : undefined;
}

function toText({ folder, listing }: Listed, now: Date): string {
  if (listing.kind === "bad") return `${folderName(folder)}\n  ${listing.error.message}\n`;
  const { current, newerId, entries, olderCount } = listing.value;
  const cluster = clusterOf(current);
  const title = `${folderName(folder)}${cluster === undefined ? "" : `, of cluster ${cluster}`}\n`;
  const isListed = entries.some(({ isCurrent }) => isCurrent);
  const isToldThere = isListed && current.kind === "good" && newerId === undefined;
  const rows = [
    ...(isToldThere ? [] : [currentRow(listing.value, folder, now)]),
    ...entries.map((entry) => entryRow(entry, folder, cluster, now)),
  ];
  const more = olderCount === 0 ? "" : `and ${olderCount} older: --all lists them\n`;
  return `${title}${formatTable(COLUMNS, rows)}${more}`;
}

/** For a current one that is not in the part of the history that is listed, or cannot be used, or is not the newest. */
function currentRow({ current, newerId }: Listing, folder: VersionFolder, now: Date): Row {
  if (current.kind === "bad") {
    const { error } = current;
    const hints = error.hint === undefined ? [] : [`try: ${error.hint}`];
    return {
      cells: [CURRENT, "", "", "", "", "unusable"],
      notes: [reasonOf(error, folder, CURRENT), ...hints],
    };
  }
  const sighting = current.value;
  const metadata = metadataOf(sighting);
  const bytes = bytesOf(sighting);
  const cells =
    metadata === undefined
      ? ["", bytes === undefined ? "" : formatBytes(bytes), "", "by hand"]
      : metadataCells(metadata, now);
  return {
    cells: [CURRENT, ...cells, "current"],
    notes: [
      summariseSighting(sighting),
      ...(newerId === undefined ? [] : [`older than ${newerId}: somebody may have put it back`]),
    ],
  };
}

/** Undefined where nobody knows. */
function clusterOf(current: Listing["current"]): string | undefined {
  return current.kind === "good" ? metadataOf(current.value)?.clusterId : undefined;
}

/** `cluster`: whose config is current. */
function entryRow(
  { entry, isCurrent, read }: ListedEntry,
  folder: VersionFolder,
  cluster: string | undefined,
  now: Date,
): Row {
  if (read.kind === "bad") {
    const age = formatDuration(now.getTime() - entry.at.getTime());
    const notes = [reasonOf(read.error, folder, entry.id)];
    return { cells: [entry.id, age, "", "", "", "unusable"], notes };
  }
  const { metadata, held } = read.value;
  const state = held === undefined ? "" : "held";
  const { clusterId } = metadata;
  return {
    cells: [entry.id, ...metadataCells(metadata, now), isCurrent ? "current" : state],
    notes: [
      summariseSighting(read.value),
      ...(held === undefined ? [] : [`held back: ${held}`]),
      ...(clusterId === undefined || clusterId === cluster ? [] : [`of cluster ${clusterId}`]),
    ],
  };
}

function metadataCells(
  { exportedAt, bytes, fencingToken, exporterId }: SnapshotMetadata,
  now: Date,
): readonly string[] {
  const age = formatDuration(now.getTime() - exportedAt.getTime());
  return [age, formatBytes(bytes), String(fencingToken), shortExporter(exporterId)];
}

function toJson({ folder, listing }: Listed): object {
  const where = { kongVersion: folder.version, store: folder.store.url };
  if (listing.kind === "bad") return { ...where, ...errorJson(listing.error) };
  const { current, newerId, entries, olderCount } = listing.value;
  return {
    ...where,
    current: current.kind === "bad" ? errorJson(current.error) : sightingJson(current.value),
    newerId: newerId ?? null,
    history: entries.map(({ entry, isCurrent, read }) => ({
      id: entry.id,
      at: entry.at,
      isCurrent,
      held: entry.held,
      ...(read.kind === "bad"
        ? errorJson(read.error)
        : { heldBecause: read.value.held ?? null, ...sightingJson(read.value) }),
    })),
    olderCount,
  };
}
