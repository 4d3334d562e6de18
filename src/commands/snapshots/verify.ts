/** `snapshots verify`: what can be checked of every object, before it is needed. */

import { folderName, type VersionFolder } from "../../maintenance/folder.ts";
import { type CheckedObject, verifyFolder } from "../../maintenance/verify.ts";
import type { ActionContext } from "../folders.ts";
import { print, printJson } from "../output.ts";
import { formatTable } from "../text.ts";
import type { SnapshotsRequest } from "./request.ts";

interface CheckedFolder {
  readonly folder: VersionFolder;
  readonly objects: readonly CheckedObject[];
}

/** Notes below one object; `--json` has them all. */
const MAX_SHOWN = 20;

/** Resolves to 0, whatever `deep` finds; to 3 where anything is bad, else to 4 where anything could not be read. */
export async function verifyCommand(
  { deep }: Extract<SnapshotsRequest, { kind: "verify" }>,
  { folders, settings, stdout, json }: ActionContext,
  signal: AbortSignal,
): Promise<number> {
  const { hashCheckMaxBytes, plugins } = settings;
  const checked: CheckedFolder[] = [];
  for (const folder of folders) {
    const depth = { hashCheckMaxBytes, deep, plugins };
    checked.push({ folder, objects: await verifyFolder(folder, depth, signal) });
  }
  if (json) await printJson(stdout, checked.flatMap(toJson), signal);
  else await print(stdout, toText(checked), signal);
  const results = new Set(checked.flatMap(({ objects }) => objects.map(({ result }) => result)));
  if (results.has("bad")) return 3;
  return results.has("unread") ? 4 : 0;
}

function toJson({ folder, objects }: CheckedFolder): readonly object[] {
  const where = { kongVersion: folder.version, store: folder.store.url };
  return objects.map((checked) => ({ ...where, ...checked }));
}

function toText(checked: readonly CheckedFolder[]): string {
  const texts = checked.map(({ folder, objects }) => {
    const rows = objects.map((each) => ({
      cells: [each.object ?? "history", each.result],
      notes: notesOf(each),
    }));
    return `${folderName(folder)}\n${formatTable([{ title: "OBJECT" }, { title: "RESULT" }], rows)}`;
  });
  const objects = checked.flatMap((each) => each.objects);
  const count = (wanted: CheckedObject["result"]) =>
    objects.filter(({ result }) => result === wanted).length;
  const warned = count("warned");
  const counts = [
    `${objects.length} checked`,
    `${count("bad")} bad`,
    ...(warned === 0 ? [] : [`${warned} with warnings`]),
    `${count("unread")} not read`,
  ];
  return `${texts.join("\n")}\n${counts.join(", ")}\n`;
}

function notesOf({ why, config = [] }: CheckedObject): readonly string[] {
  const shown = config.slice(0, MAX_SHOWN).map(({ message }) => message);
  const more = config.length - shown.length;
  return [
    ...(why === undefined ? [] : [why]),
    ...shown,
    ...(more === 0 ? [] : [`and ${more} more: --json lists them all`]),
  ];
}
