/** Takes members and elements out of a JSON text and leaves every other byte as it is. */

import type { JsonSpan } from "../json-members.ts";

const COMMA = 0x2c;

/**
 * What to cut so that the items for which `isDropped` is true are gone, each with one comma. `items`: the
 * values in one object or array, all of them, in their order; `open`: the offset behind its bracket.
 */
export function cutItems<Item extends JsonSpan>(
  json: Uint8Array,
  open: number,
  items: Iterable<Item>,
  isDropped: (item: Item) => boolean,
): readonly JsonSpan[] {
  const cuts: JsonSpan[] = [];
  let previousEnd = open;
  let isFirstKept = true;
  for (const item of items) {
    const { end } = item;
    if (isDropped(item)) {
      // With the comma before it, and the key.
      cuts.push({ start: previousEnd, end });
    } else {
      // The first that is left has no predecessor any more from which a comma would part it.
      if (isFirstKept && previousEnd > open) {
        cuts.push({ start: previousEnd, end: json.indexOf(COMMA, previousEnd) + 1 });
      }
      isFirstKept = false;
    }
    previousEnd = end;
  }
  return cuts;
}

/** `json` without these spans, which do not overlap. */
export function applyCuts(json: Uint8Array, cuts: readonly JsonSpan[]): Uint8Array {
  const left = cuts.reduce((bytes, { start, end }) => bytes - (end - start), json.length);
  const result = Buffer.alloc(left);
  let from = 0;
  let to = 0;
  for (const { start, end } of cuts.toSorted((a, b) => a.start - b.start)) {
    result.set(json.subarray(from, start), to);
    to += start - from;
    from = end;
  }
  result.set(json.subarray(from), to);
  return result;
}
