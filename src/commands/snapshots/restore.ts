/** `snapshots restore`: makes a snapshot of the history the current one, in every store, by an operator's word. */

import { diffConfigs } from "../../kong/diff/diff.ts";
import { SettingsError } from "../../runtime/settings.ts";
import { isSameConfig } from "../../snapshots/order.ts";
import type { SealMarks } from "../../snapshots/seal/seal.ts";
import type { NewSnapshot, Snapshot } from "../../snapshots/snapshot.ts";
import { confirm } from "../confirm.ts";
import { print, printJson } from "../print.ts";
import { printable } from "../table.ts";
import { UsageError } from "../usage-error.ts";
import { errorJson, formatTaken } from "./describe.ts";
import { diffSummary } from "./diff-text.ts";
import { CURRENT, findSnapshot } from "./find.ts";
import { type Readable, tryRead } from "./listing.ts";
import {
  type ActionContext,
  onlyVersion,
  type Place,
  placeName,
  readCurrent,
  sightCurrentOf,
} from "./place.ts";
import type { SnapshotsRequest } from "./request.ts";
import { type Restored, restoreIn } from "./restore-in.ts";

type Request = Extract<SnapshotsRequest, { kind: "restore" }>;

interface Outcome {
  readonly place: Place;
  readonly result: Readable<Restored>;
}

const WHAT_NEXT = `It stays current until the control plane next sends a config, which an exporter then saves: with
the next change there, or when the control plane or an exporter starts anew. Stop the exporters to
keep it for longer.
`;
const RELEASED = `It had been held back; being current, it is what later configs are measured by.
`;

/**
 * Resolves to 0, or to the exit status of the first failure where a store could not be written; the
 * others then have it. Rejects with UsageError before anything is written where nobody confirms.
 */
export async function restoreCommand(
  { id, takeOver, yes }: Request,
  context: ActionContext,
  signal: AbortSignal,
): Promise<number> {
  if (id === CURRENT) throw new UsageError("what is current need not be restored", HINT);
  const { config, metadata, held, marks } = await findSnapshot(id, context, "restore", signal);
  if (metadata === undefined) throw new TypeError("a snapshot of the history has metadata");
  const snapshot: NewSnapshot = { config, metadata };
  const places = onlyVersion(context.places, "restore");
  refuseLossOfSeal([...(marks ? [marks] : []), ...(await marksOf(places, signal))], context);
  if (!yes) {
    context.stderr.write(await preview(id, { ...snapshot, held }, places, context, signal));
    await confirm("restore", context, signal);
  }
  const outcomes: Outcome[] = [];
  for (const place of places) {
    const restore = () => restoreIn(place, { id, snapshot, takeOver }, context, signal);
    outcomes.push({ place, result: await tryRead(restore, signal) });
  }
  const failures = outcomes.flatMap(({ result }) => (result.kind === "bad" ? [result.error] : []));
  const [failure] = failures;
  // Nothing was written: one error says more than a list of one.
  if (failure !== undefined && failures.length === outcomes.length) throw failure;
  if (context.json) await printJson(context.stdout, outcomes.map(toJson), signal);
  else {
    const next = held === undefined ? WHAT_NEXT : `${RELEASED}${WHAT_NEXT}`;
    await print(context.stdout, `${outcomes.map(toText).join("")}\n${next}`, signal);
  }
  return failure?.exitStatus ?? 0;
}

/** Of what is current, as far as it can be told. */
async function marksOf(
  places: readonly Place[],
  signal: AbortSignal,
): Promise<readonly SealMarks[]> {
  const marks: SealMarks[] = [];
  for (const place of places) {
    const current = await tryRead(() => sightCurrentOf(place, signal), signal);
    if (current.kind === "good") marks.push(current.snapshot.marks);
  }
  return marks;
}

/**
 * What is signed and encrypted is to be so when it is current again; so is what takes the place of one
 * that is: readers and exporters there would not have it otherwise.
 */
function refuseLossOfSeal(marks: readonly SealMarks[], { seal, settings }: ActionContext): void {
  const isUnsigned =
    settings.signingKey === undefined && marks.some(({ signedBy }) => signedBy !== undefined);
  const isUnsealed = !seal.encrypts && marks.some(({ sealedFor }) => sealedFor !== undefined);
  const faults = [
    ...(isUnsigned
      ? ["KONG_FALLBACK_SIGNING_KEY: is not set, and restore needs it: snapshots are signed there"]
      : []),
    ...(isUnsealed
      ? [
          "KONG_FALLBACK_AGE_RECIPIENTS: is not set, and restore needs it: snapshots are encrypted there",
        ]
      : []),
  ];
  if (faults.length > 0) throw new SettingsError(faults, "Set what the exporters have.");
}

const HINT = "kong-fallback snapshots list shows the IDs of the history.";

/** What would change, place by place. */
async function preview(
  id: string,
  chosen: NewSnapshot & { readonly held: string | undefined },
  places: readonly Place[],
  { clock }: ActionContext,
  signal: AbortSignal,
): Promise<string> {
  const now = clock.now();
  const reason = chosen.held === undefined ? "" : `It was held back: ${printable(chosen.held)}\n`;
  const parts = [`${id}, taken ${formatTaken(chosen.metadata, now)}\n${reason}`];
  for (const place of places) {
    const current = await tryRead(() => readCurrent(place, signal), signal);
    parts.push(`${placeName(place)}\n${effect(chosen, current, now)}`);
  }
  return `${parts.join("\n")}\n`;
}

function effect(chosen: NewSnapshot, current: Readable<Snapshot>, now: Date): string {
  if (current.kind === "bad") return `  ${printable(current.error.message)}\n`;
  const { config, metadata } = current.snapshot;
  if (metadata !== undefined && isSameConfig(metadata, chosen.metadata)) {
    return "  is this config already\n";
  }
  const kinds = diffConfigs(config, chosen.config);
  const changes = kinds.length === 0 ? "  no difference in meaning\n" : diffSummary(kinds);
  return `  replaces what was taken ${formatTaken(metadata, now)}:\n${changes}`;
}

function toText({ place, result }: Outcome): string {
  if (result.kind === "bad") return `${placeName(place)}: not restored: ${result.error.message}\n`;
  if (result.snapshot.kind === "current") return `${placeName(place)}: is this config already\n`;
  const { fencingToken, replacedId } = result.snapshot;
  const undo = replacedId === undefined ? "" : `  what it replaced is kept as ${replacedId}\n`;
  return `${placeName(place)}: restored, with fencing token ${fencingToken}\n${undo}`;
}

function toJson({ place, result }: Outcome): object {
  const where = { kongVersion: place.version, store: place.store.url };
  if (result.kind === "bad") return { ...where, restored: false, ...errorJson(result.error) };
  if (result.snapshot.kind === "current") return { ...where, restored: false, isCurrent: true };
  const { fencingToken, replacedId } = result.snapshot;
  return { ...where, restored: true, fencingToken, replacedId: replacedId ?? null };
}
