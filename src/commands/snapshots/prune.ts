/** `snapshots prune`: removes from the history what is beyond its limits, or says what it would. */

import type { ServiceError } from "../../core/errors.ts";
import type { Removal, RetentionPolicy } from "../../snapshots/retention.ts";
import { print, printJson } from "../print.ts";
import { formatBytes, formatDuration } from "../quantities.ts";
import { type Column, formatTable } from "../table.ts";
import { errorJson } from "./describe.ts";
import { type Readable, tryRead } from "./listing.ts";
import { type ActionContext, type Place, placeName } from "./place.ts";
import type { SnapshotsRequest } from "./request.ts";

/** What goes of one place, and what could not be deleted. */
interface Pruned {
  readonly removals: readonly Removal[];
  readonly failures: ReadonlyMap<string, ServiceError>;
}

const COLUMNS: readonly Column[] = [
  { title: "ID (time-hash)" },
  { title: "AGE", align: "right" },
  { title: "STORED", align: "right" },
  { title: "BEYOND THE LIMIT OF" },
];

/**
 * Deletes the oldest first and needs no lease: whoever else prunes deletes the same ones, and the
 * newest and the current one stay whatever is saved meanwhile. Resolves to 0, or to 4 where anything
 * could not be listed or deleted.
 */
export async function pruneCommand(
  { dryRun }: Extract<SnapshotsRequest, { kind: "prune" }>,
  { places, settings, stdout, json, clock }: ActionContext,
  signal: AbortSignal,
): Promise<number> {
  const now = clock.now();
  const policy: RetentionPolicy = {
    maxCount: settings.historyMaxCount,
    maxAgeMs: settings.historyMaxAgeMs,
    maxTotalBytes: settings.historyMaxBytes,
  };
  const pruned: { place: Place; result: Readable<Pruned> }[] = [];
  for (const place of places) {
    const result = await tryRead(() => prunePlace(place, policy, { dryRun, now }, signal), signal);
    pruned.push({ place, result });
  }
  if (json) {
    await printJson(
      stdout,
      pruned.map(({ place, result }) => toJson(place, dryRun, result)),
      signal,
    );
  } else {
    const texts = pruned.map(({ place, result }) => toText(place, dryRun, result, now));
    await print(stdout, texts.join("\n"), signal);
  }
  const isClean = pruned.every(
    ({ result }) => result.kind === "good" && result.snapshot.failures.size === 0,
  );
  return isClean ? 0 : 4;
}

async function prunePlace(
  { archive }: Place,
  policy: RetentionPolicy,
  { dryRun, now }: { readonly dryRun: boolean; readonly now: Date },
  signal: AbortSignal,
): Promise<Pruned> {
  const removals = await archive.planPrune(policy, now, signal);
  if (dryRun) return { removals, failures: new Map() };
  const ids = removals.map(({ entry }) => entry.id);
  const { failed } = await archive.history.remove(ids, signal);
  return { removals, failures: new Map(failed.map(({ id, error }) => [id, error])) };
}

function toText(place: Place, dryRun: boolean, result: Readable<Pruned>, now: Date): string {
  const title = `${placeName(place)}\n`;
  if (result.kind === "bad") return `${title}  ${result.error.message}\n`;
  const { removals, failures } = result.snapshot;
  if (removals.length === 0) return `${title}  nothing is beyond the limits\n`;
  const rows = removals.map(({ entry, reason }) => {
    const age = formatDuration(now.getTime() - entry.at.getTime());
    const failure = failures.get(entry.id);
    return {
      cells: [entry.id, age, formatBytes(entry.bytes), reason],
      notes: failure === undefined ? [] : [`not removed: ${failure.message}`],
    };
  });
  const count = removals.length - failures.size;
  const failed = failures.size === 0 ? "" : `, ${failures.size} not removed`;
  const summary = dryRun ? `${count} would be removed` : `${count} removed${failed}`;
  return `${title}${formatTable(COLUMNS, rows)}${summary}\n`;
}

function toJson(place: Place, dryRun: boolean, result: Readable<Pruned>): object {
  const where = { kongVersion: place.version, store: place.store.url, dryRun };
  if (result.kind === "bad") return { ...where, ...errorJson(result.error) };
  const { removals, failures } = result.snapshot;
  return {
    ...where,
    removals: removals.map(({ entry: { id, at, bytes, held }, reason }) => {
      const failure = failures.get(id);
      return { id, at, bytes, held, reason, ...(failure === undefined ? {} : errorJson(failure)) };
    }),
  };
}
