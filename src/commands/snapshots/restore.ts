/** `snapshots restore`: makes a snapshot of the history the current one, in every store, by an operator's word. */

import { withFields } from "../../core/log.ts";
import { type Result, resultOf } from "../../core/result.ts";
import { findSnapshot, type NamedSnapshot } from "../../maintenance/find.ts";
import { CURRENT, folderName, type VersionFolder } from "../../maintenance/folder.ts";
import {
  lostSeal,
  previewRestore,
  type RestoreContext,
  type Restored,
  type RestoreEffect,
  restoreIn,
} from "../../maintenance/restore.ts";
import { SettingsError } from "../../runtime/settings.ts";
import type { NewSnapshot } from "../../snapshots/snapshot.ts";
import { confirm } from "../confirm.ts";
import { openElection } from "../election.ts";
import { type ActionContext, onlyVersion } from "../folders.ts";
import { print, printJson } from "../output.ts";
import { StoreTrial } from "../storage.ts";
import { printable } from "../text.ts";
import { UsageError } from "../usage-error.ts";
import { errorJson, formatTaken } from "./describe.ts";
import { diffSummary } from "./diff.ts";
import type { SnapshotsRequest } from "./request.ts";

interface RestoredFolder {
  readonly folder: VersionFolder;
  readonly result: Result<Restored>;
}

const WHAT_NEXT = `It stays current until the control plane has another config than the one that it replaced, which an
exporter then saves. Stop the exporters to keep it for longer.
`;
const RELEASED = `It had been held back; now that it is current, later configs are measured against it.
`;

/**
 * Resolves to 0, or to the exit status of the first failure where a store could not be written; the
 * others then have it. Rejects with UsageError before anything is written where nobody confirms.
 */
export async function restoreCommand(
  { id, takeOver, yes }: Extract<SnapshotsRequest, { kind: "restore" }>,
  context: ActionContext,
  signal: AbortSignal,
): Promise<number> {
  const { settings, log, json, stdout, stderr } = context;
  if (id === CURRENT) {
    const hint = "kong-fallback snapshots list shows the IDs of the history.";
    throw new UsageError("the current snapshot does not need restoring", hint);
  }
  if (takeOver && settings.election === "kubernetes") {
    throw new UsageError(
      "--take-over can take a lease that is kept in a store, not one in Kubernetes",
      "Scale the exporters down to zero, restore without --take-over, and scale them up again.",
    );
  }
  const folders = onlyVersion(context.folders, "restore");
  const chosen = await findSnapshot(id, folders, log, signal);
  const { config, metadata, held } = chosen;
  if (metadata === undefined) throw new TypeError("a snapshot of the history has metadata");
  const snapshot: NewSnapshot = { config, metadata };
  await refuseLossOfSeal(chosen, folders, context, signal);
  if (!yes) {
    stderr.write(await preview(id, { ...snapshot, held }, folders, context, signal));
    await confirm("restore", context, signal);
  }
  const restored: RestoredFolder[] = [];
  for (const folder of folders) {
    const restore = () =>
      restoreIn(folder, { id, snapshot, takeOver }, restoreContext(context), signal);
    restored.push({ folder, result: await resultOf(restore, signal) });
  }
  const failures = restored.flatMap(({ result }) => (result.kind === "bad" ? [result.error] : []));
  const [failure] = failures;
  // Nothing was written: one error says more than a list of one.
  if (failure !== undefined && failures.length === restored.length) throw failure;
  if (json) {
    await printJson(stdout, restored.map(toJson), signal);
  } else {
    const next = held === undefined ? WHAT_NEXT : `${RELEASED}${WHAT_NEXT}`;
    await print(stdout, `${restored.map(toText).join("")}\n${next}`, signal);
  }
  return failure?.exitStatus ?? 0;
}

function restoreContext(context: ActionContext): RestoreContext {
  const { settings, log, stderr, hostname, clock } = context;
  return {
    election: settings.election,
    openElection: (folder, exporterId, conditional) =>
      openElection(context, { ...folder, exporterId, conditional: async () => conditional, log }),
    askPreconditions: ({ store, version }, signal) =>
      new StoreTrial(store, version, withFields(log, { store: store.url })).conditional(signal),
    leaseTtlMs: settings.leaseTtlMs,
    hostname,
    clock,
    log,
    say: (line) => stderr.write(`${line}\n`),
  };
}

async function refuseLossOfSeal(
  { marks }: NamedSnapshot,
  folders: readonly VersionFolder[],
  { seal, settings }: ActionContext,
  signal: AbortSignal,
): Promise<void> {
  const own = { signs: settings.signingKey !== undefined, encrypts: seal.encrypts };
  const lost = await lostSeal(marks, folders, own, signal);
  const faults = [
    ...(lost.signature
      ? ["KONG_FALLBACK_SIGNING_KEY: is not set, and restore needs it: snapshots there are signed"]
      : []),
    ...(lost.encryption
      ? [
          "KONG_FALLBACK_AGE_RECIPIENTS: is not set, and restore needs it: snapshots there are encrypted",
        ]
      : []),
  ];
  if (faults.length > 0) throw new SettingsError(faults, "Set it as it is for the exporters.");
}

/** What would change, folder by folder. */
async function preview(
  id: string,
  chosen: NewSnapshot & { readonly held: string | undefined },
  folders: readonly VersionFolder[],
  { clock }: ActionContext,
  signal: AbortSignal,
): Promise<string> {
  const now = clock.now();
  const reason = chosen.held === undefined ? "" : `It was held back: ${printable(chosen.held)}\n`;
  const parts = [`${id}, taken ${formatTaken(chosen.metadata, now)}\n${reason}`];
  for (const folder of folders) {
    const effect = await previewRestore(folder, chosen, signal);
    parts.push(`${folderName(folder)}\n${effectText(effect, now)}`);
  }
  return `${parts.join("\n")}\n`;
}

function effectText(effect: Result<RestoreEffect>, now: Date): string {
  if (effect.kind === "bad") return `  ${printable(effect.error.message)}\n`;
  if (effect.value.kind === "current") return "  already has this config\n";
  const { replaced, kinds } = effect.value;
  const changes = kinds.length === 0 ? "  no difference in meaning\n" : diffSummary(kinds);
  return `  replaces what was taken ${formatTaken(replaced.metadata, now)}:\n${changes}`;
}

function toText({ folder, result }: RestoredFolder): string {
  const name = folderName(folder);
  if (result.kind === "bad") return `${name}: not restored: ${result.error.message}\n`;
  if (result.value.kind === "current") return `${name}: already has this config\n`;
  const { fencingToken, replacedId } = result.value;
  const undo = replacedId === undefined ? "" : `  what it replaced is kept as ${replacedId}\n`;
  return `${name}: restored, with fencing token ${fencingToken}\n${undo}`;
}

function toJson({ folder, result }: RestoredFolder): object {
  const where = { kongVersion: folder.version, store: folder.store.url };
  if (result.kind === "bad") return { ...where, restored: false, ...errorJson(result.error) };
  if (result.value.kind === "current") return { ...where, restored: false, isCurrent: true };
  const { fencingToken, replacedId } = result.value;
  return { ...where, restored: true, fencingToken, replacedId: replacedId ?? null };
}
