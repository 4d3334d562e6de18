/** `snapshots diff`: what differs between two configs, secrets masked; exit status as of diff(1). */

import { readFile, stat } from "node:fs/promises";
import { describeCause } from "../../core/errors.ts";
import { checkDeclarativeConfig } from "../../kong/declarative-config.ts";
import { diffConfigs, type FieldChange, type KindDiff } from "../../kong/diff/diff.ts";
import type { EntityRef } from "../../kong/diff/entity-label.ts";
import { findSnapshot, type NamedSnapshot } from "../../maintenance/find.ts";
import { CURRENT } from "../../maintenance/folder.ts";
import { SnapshotError } from "../../snapshots/errors.ts";
import { unpackConfig } from "../../snapshots/history-body.ts";
import { parseHistoryId } from "../../snapshots/layout.ts";
import { maxKeptBytes } from "../../snapshots/sighting.ts";
import { type ActionContext, onlyVersion } from "../folders.ts";
import { print, printJson } from "../output.ts";
import { printable } from "../text.ts";
import { UsageError } from "../usage-error.ts";
import { formatTaken } from "./describe.ts";
import type { SnapshotsRequest } from "./request.ts";

/** Resolves to 0 where they mean the same, 1 where they do not. */
export async function diffCommand(
  request: Extract<SnapshotsRequest, { kind: "diff" }>,
  context: ActionContext,
  signal: AbortSignal,
): Promise<number> {
  const { stdout, json, clock } = context;
  const from = await findOperand(request.from, context, signal);
  const to = await findOperand(request.to, context, signal);
  const kinds = diffConfigs(from.config, to.config);
  if (json) {
    await printJson(stdout, { from: request.from, to: request.to, kinds }, signal);
  } else {
    const now = clock.now();
    const text = kinds.length === 0 ? "no difference\n" : diffText(kinds);
    await print(stdout, `- ${title(from, now)}\n+ ${title(to, now)}\n\n${text}`, signal);
  }
  return kinds.length === 0 ? 0 : 1;
}

function title({ which, metadata }: NamedSnapshot, now: Date): string {
  const name = printable(which);
  return metadata === undefined ? name : `${name}, taken ${formatTaken(metadata, now)}`;
}

/** As `findSnapshot`, and paths of files: a config as Kong takes it, or an object of a store, gzip or encrypted. */
async function findOperand(
  which: string,
  context: ActionContext,
  signal: AbortSignal,
): Promise<NamedSnapshot> {
  const isFile =
    which !== CURRENT && parseHistoryId(which) === undefined && (await isReadable(which));
  if (isFile) return readConfigFile(which, context);
  return findSnapshot(which, onlyVersion(context.folders, "diff"), context.log, signal);
}

async function isReadable(path: string): Promise<boolean> {
  // What is no file is taken for an id, and the history says that it has none.
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}

async function readConfigFile(
  path: string,
  { settings: { maxConfigBytes }, seal }: ActionContext,
): Promise<NamedSnapshot> {
  const stored = await readFile(path).catch((cause: unknown) => {
    throw new UsageError(
      `${path} cannot be read: ${describeCause(cause)}`,
      "Check its permissions.",
    );
  });
  const bytes = await seal.open(stored, path, maxKeptBytes(maxConfigBytes));
  const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const config = isGzip ? await unpackConfig(bytes, maxConfigBytes, path) : bytes;
  try {
    checkDeclarativeConfig(config);
  } catch (cause) {
    throw new SnapshotError(
      "SNAPSHOT_CORRUPT",
      `${path} is not a Kong configuration: ${describeCause(cause)}`,
      { cause, hint: "The file must hold JSON as Kong's control plane sends it, gzipped or not." },
    );
  }
  const unknown = { metadata: undefined, held: undefined, marks: undefined };
  return { config, which: path, where: path, ...unknown };
}

/** Longer values are cut off. */
const MAX_VALUE_CHARACTERS = 200;

/** Entities that were added `+`, removed `-`, changed `~`, and below these their fields. */
export function diffText(kinds: readonly KindDiff[]): string {
  return kinds.map((kind) => `${lines(kind).map(printable).join("\n")}\n`).join("\n");
}

/** One line for each kind, `services: 3 added, 1 changed`. */
export function diffSummary(kinds: readonly KindDiff[]): string {
  return kinds.map((kind) => `  ${printable(headline(kind))}\n`).join("");
}

function headline({ kind, added, removed, changed }: KindDiff): string {
  const counts = [
    [added, "added"],
    [removed, "removed"],
    [changed, "changed"],
  ] as const;
  const parts = counts.filter(([{ length }]) => length > 0);
  return `${kind}: ${parts.map(([{ length }, verb]) => `${length} ${verb}`).join(", ")}`;
}

function lines(diff: KindDiff): readonly string[] {
  return [
    headline(diff),
    ...diff.removed.map((entity) => `  - ${nameOf(entity)}`),
    ...diff.added.map((entity) => `  + ${nameOf(entity)}`),
    ...diff.changed.flatMap((entity) => [
      `  ~ ${nameOf(entity)}`,
      ...entity.fields.map((change) => `      ${fieldText(change)}`),
    ]),
  ];
}

function nameOf({ id, label }: EntityRef): string {
  return [label, id].filter((part) => part).join("  ") || "(unnamed)";
}

function fieldText(change: FieldChange): string {
  const name = change.field === "" ? "value" : change.field;
  if ("secret" in change) return `${name}: ${change.secret}`;
  return `${name}: ${valueText(change.from)} -> ${valueText(change.to)}`;
}

function valueText(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > MAX_VALUE_CHARACTERS ? `${text.slice(0, MAX_VALUE_CHARACTERS)}...` : text;
}
