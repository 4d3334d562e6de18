/** A difference of two configs as text for people. */

import type { FieldChange, KindDiff } from "../../kong/diff/diff.ts";
import type { EntityRef } from "../../kong/diff/entity-label.ts";
import { printable } from "../table.ts";

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
  return [label, id].filter((part) => part).join("  ") || "(without a name)";
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
