/** `snapshots prune`: removes from the history what is beyond its limits, or says what it would. */

import { type Result, resultOf } from "../../core/result.ts";
import { folderName, type VersionFolder } from "../../maintenance/folder.ts";
import { type Pruned, pruneFolder } from "../../maintenance/prune.ts";
import type { ActionContext } from "../folders.ts";
import { print, printJson } from "../output.ts";
import { type Column, formatBytes, formatDuration, formatTable } from "../text.ts";
import { errorJson } from "./describe.ts";
import type { SnapshotsRequest } from "./request.ts";

interface PrunedFolder {
  readonly folder: VersionFolder;
  readonly dryRun: boolean;
  readonly result: Result<Pruned>;
}

const COLUMNS: readonly Column[] = [
  { title: "ID (time-hash)" },
  { title: "AGE", align: "right" },
  { title: "STORED", align: "right" },
  { title: "BEYOND THE LIMIT OF" },
];

/** Resolves to 0, or to 4 where anything could not be listed or deleted. */
export async function pruneCommand(
  { dryRun }: Extract<SnapshotsRequest, { kind: "prune" }>,
  { folders, settings, stdout, json, clock }: ActionContext,
  signal: AbortSignal,
): Promise<number> {
  const now = clock.now();
  const policy = {
    maxCount: settings.historyMaxCount,
    maxAgeMs: settings.historyMaxAgeMs,
    maxTotalBytes: settings.historyMaxBytes,
  };
  const pruned: PrunedFolder[] = [];
  for (const folder of folders) {
    const prune = () => pruneFolder(folder, policy, { dryRun, now }, signal);
    pruned.push({ folder, dryRun, result: await resultOf(prune, signal) });
  }
  if (json) await printJson(stdout, pruned.map(toJson), signal);
  else await print(stdout, pruned.map((each) => toText(each, now)).join("\n"), signal);
  const isClean = pruned.every(
    ({ result }) => result.kind === "good" && result.value.failures.size === 0,
  );
  return isClean ? 0 : 4;
}

function toText({ folder, dryRun, result }: PrunedFolder, now: Date): string {
  const title = `${folderName(folder)}\n`;
  if (result.kind === "bad") return `${title}  ${result.error.message}\n`;
  const { removals, failures } = result.value;
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

function toJson({ folder, dryRun, result }: PrunedFolder): object {
  const where = { kongVersion: folder.version, store: folder.store.url, dryRun };
  if (result.kind === "bad") return { ...where, ...errorJson(result.error) };
  const { removals, failures } = result.value;
  return {
    ...where,
    removals: removals.map(({ entry: { id, at, bytes, held }, reason }) => {
      const failure = failures.get(id);
      return { id, at, bytes, held, reason, ...(failure === undefined ? {} : errorJson(failure)) };
    }),
  };
}
