/** `snapshots list`: what is saved, the newest first. */

import type { ServiceError } from "../../core/errors.ts";
import { metadataOf } from "../../snapshots/sighting.ts";
import type { SnapshotMetadata } from "../../snapshots/snapshot.ts";
import { print, printJson } from "../print.ts";
import { formatBytes, formatDuration } from "../quantities.ts";
import { type Column, formatTable, type Row } from "../table.ts";
import { bytesOf, errorJson, shortExporter, sightingJson, summariseSighting } from "./describe.ts";
import { CURRENT } from "./find.ts";
import { type ListedEntry, type Listing, listPlace, type Readable, tryRead } from "./listing.ts";
import { type ActionContext, type Place, placeName } from "./place.ts";
import { reasonOf } from "./reason.ts";
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

/** Resolves to 0 where anything was listed. Rejects as the first place that failed where nothing was. */
export async function listCommand(
  { all }: Extract<SnapshotsRequest, { kind: "list" }>,
  { places, stdout, json, clock }: ActionContext,
  signal: AbortSignal,
): Promise<number> {
  const limit = all ? Number.POSITIVE_INFINITY : DEFAULT_LIMIT;
  const listed: { place: Place; listing: Readable<Listing> }[] = [];
  for (const place of places) {
    listed.push({ place, listing: await tryRead(() => listPlace(place, limit, signal), signal) });
  }
  const failures = listed.map(({ listing }) => failureOf(listing));
  const failure = failures.find((error) => error !== undefined);
  if (failure !== undefined && failures.every((error) => error !== undefined)) throw failure;
  if (json) {
    await printJson(stdout, listed.map(placeJson), signal);
  } else {
    const texts = listed.map(({ place, listing }) => placeText(place, listing, clock.now()));
    await print(stdout, texts.join("\n"), signal);
  }
  return 0;
}

/** Why there is nothing to list. */
function failureOf(listing: Readable<Listing>): ServiceError | undefined {
  if (listing.kind === "bad") return listing.error;
  const { current, entries } = listing.snapshot;
  return current.kind === "bad" && entries.length === 0 ? current.error : undefined;
}

function placeText(place: Place, listing: Readable<Listing>, now: Date): string {
  const title = `${placeName(place)}\n`;
  if (listing.kind === "bad") return `${title}  ${listing.error.message}\n`;
  const { current, newerId, entries, olderCount } = listing.snapshot;
  const isListed = entries.some(({ isCurrent }) => isCurrent);
  const isToldThere = isListed && current.kind === "good" && newerId === undefined;
  const rows = [
    ...(isToldThere ? [] : [currentRow(listing.snapshot, place, now)]),
    ...entries.map((entry) => entryRow(entry, place, now)),
  ];
  const more = olderCount === 0 ? "" : `and ${olderCount} older: --all lists them\n`;
  return `${title}${formatTable(COLUMNS, rows)}${more}`;
}

/** For a current one that is not in the part of the history that is listed, or cannot be used, or is not the newest. */
function currentRow({ current, newerId }: Listing, place: Place, now: Date): Row {
  if (current.kind === "bad") {
    const { error } = current;
    const hints = error.hint === undefined ? [] : [`try: ${error.hint}`];
    return {
      cells: [CURRENT, "", "", "", "", "unusable"],
      notes: [reasonOf(error, place, CURRENT), ...hints],
    };
  }
  const sighting = current.snapshot;
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

function entryRow({ entry, isCurrent, read }: ListedEntry, place: Place, now: Date): Row {
  if (read.kind === "bad") {
    const age = formatDuration(now.getTime() - entry.at.getTime());
    const notes = [reasonOf(read.error, place, entry.id)];
    return { cells: [entry.id, age, "", "", "", "unusable"], notes };
  }
  const { metadata, held } = read.snapshot;
  const state = held === undefined ? "" : "held";
  return {
    cells: [entry.id, ...metadataCells(metadata, now), isCurrent ? "current" : state],
    notes: [
      summariseSighting(read.snapshot),
      ...(held === undefined ? [] : [`held back: ${held}`]),
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

function placeJson({ place, listing }: { place: Place; listing: Readable<Listing> }): object {
  const where = { kongVersion: place.version, store: place.store.url };
  if (listing.kind === "bad") return { ...where, ...errorJson(listing.error) };
  const { current, newerId, entries, olderCount } = listing.snapshot;
  return {
    ...where,
    current: current.kind === "bad" ? errorJson(current.error) : sightingJson(current.snapshot),
    newerId: newerId ?? null,
    history: entries.map(({ entry, isCurrent, read }) => ({
      id: entry.id,
      at: entry.at,
      isCurrent,
      held: entry.held,
      ...(read.kind === "bad"
        ? errorJson(read.error)
        : { heldBecause: read.snapshot.held ?? null, ...sightingJson(read.snapshot) }),
    })),
    olderCount,
  };
}
