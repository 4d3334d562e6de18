/** `snapshots diff`: what differs between two configs, secrets masked; exit status as of diff(1). */

import { diffConfigs } from "../../kong/diff/diff.ts";
import { print, printJson } from "../print.ts";
import { printable } from "../table.ts";
import { formatTaken } from "./describe.ts";
import { diffText } from "./diff-text.ts";
import { type FoundSnapshot, findOperand } from "./find.ts";
import type { ActionContext } from "./place.ts";
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

function title({ which, metadata }: FoundSnapshot, now: Date): string {
  const name = printable(which);
  return metadata === undefined ? name : `${name}, taken ${formatTaken(metadata, now)}`;
}
