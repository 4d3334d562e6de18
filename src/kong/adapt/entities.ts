/** A config as its text and its meaning at once: where each entity stands, and what it says. */

import { isRow, type Row } from "../checks/entity-title.ts";
import { elementPieces } from "../json-elements.ts";
import type { JsonMember, JsonSpan } from "../json-members.ts";

/** Where an entity stands; `start` alone tells it from all others. */
export interface Place extends JsonSpan {
  readonly kind: string;
  /** Its number among the elements of its member, from 0. */
  readonly index: number;
}

export interface PlacedEntity extends Place {
  readonly row: Row;
}

/** Those elements of the member that are objects, in their order; none where it is no array. Parsed anew each time. */
export function* entitiesOf(
  config: Uint8Array,
  { key: kind, start }: JsonMember,
): Generator<PlacedEntity, void> {
  let index = 0;
  for (const piece of elementPieces(config, start)) {
    for (const { value, start, end } of piece) {
      if (isRow(value)) yield { kind, index, start, end, row: value };
      index += 1;
    }
  }
}

export function rowAt(config: Uint8Array, { start, end }: Place): Row {
  const value: unknown = JSON.parse(Buffer.from(config.subarray(start, end)).toString("utf8"));
  return isRow(value) ? value : {};
}
