/** `snapshots show`: all that is known about one snapshot, or its bytes. */

import { countEntities } from "../../kong/entity-counts.ts";
import { findSnapshot, type NamedSnapshot } from "../../maintenance/find.ts";
import { sealText } from "../../snapshots/seal/seal.ts";
import { sha256 } from "../../snapshots/snapshot.ts";
import { type ActionContext, onlyVersion } from "../folders.ts";
import { print, printJson } from "../output.ts";
import { formatBytes, formatList, formatTime } from "../text.ts";
import { UsageError } from "../usage-error.ts";
import { describeRehearsed, formatTaken, sealJson, snapshotJson } from "./describe.ts";
import type { SnapshotsRequest } from "./request.ts";

/** With `config`, the exact bytes and no line feed behind them: they hold every secret of the configuration. */
export async function showCommand(
  { which, config: wantsConfig }: Extract<SnapshotsRequest, { kind: "show" }>,
  context: ActionContext,
  signal: AbortSignal,
): Promise<number> {
  const { folders, log, stdout, json, clock } = context;
  if (wantsConfig && json) {
    throw new UsageError(
      "--config and --json cannot both write to standard output",
      "Leave one of them out.",
    );
  }
  const found = await findSnapshot(which, onlyVersion(folders, "show"), log, signal);
  if (wantsConfig) {
    await print(stdout, found.config, signal);
  } else if (json) {
    const { where, held, marks } = found;
    const seal = marks && { seal: sealJson(marks) };
    const json = { which, place: where, held: held ?? null, ...snapshotJson(found), ...seal };
    await printJson(stdout, json, signal);
  } else {
    await print(stdout, formatList(factsOf(found, clock.now())), signal);
  }
  return 0;
}

type Facts = readonly (readonly [name: string, value: string])[];

function factsOf({ which, where, config, metadata, held, marks }: NamedSnapshot, now: Date): Facts {
  const entities = Object.entries(countEntities(config))
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => `${kind} ${count}`)
    .join(", ");
  const facts: Facts = [
    ["snapshot", which],
    ["place", where],
    ...(held === undefined ? [] : [["held back", held] as const]),
    ["seal", (marks && sealText(marks)) || "none: neither signed nor encrypted"],
    ["size", `${formatBytes(config.length)} (${config.length} bytes)`],
    ["SHA-256", sha256(config)],
    ["entities", entities === "" ? "none" : entities],
  ];
  if (metadata === undefined) {
    const none = "none: copied by hand, so neither digest nor version could be checked";
    return [...facts, ["metadata", none]];
  }
  const { controlPlaneTimestamp: made, hashes } = metadata;
  return [
    ...facts,
    ["Kong version", metadata.kongVersion],
    ["cluster", metadata.clusterId ?? "unknown: the config does not say"],
    ["taken", formatTaken(metadata, now)],
    [
      "made",
      made === undefined
        ? "unknown: the control plane did not say"
        : `${formatTime(new Date(made * 1000))} by the control plane's clock`,
    ],
    ["config hash", metadata.configHash ?? "unknown: the control plane sent none"],
    ["hash match", metadata.hashMatch],
    ["exporter", metadata.exporterId],
    ["fencing token", String(metadata.fencingToken)],
    ["rehearsed", describeRehearsed(metadata)],
    ...Object.entries(hashes).map(([part, hash]) => [`hash of ${part}`, hash] as const),
  ];
}
