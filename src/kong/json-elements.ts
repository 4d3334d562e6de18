/** The elements of a large JSON array, parsed some at a time: it never becomes a tree as a whole. */

import { elementsOf, type JsonSpan } from "./json-members.ts";

/** `value`: as JSON.parse gives it. */
export interface JsonElement extends JsonSpan {
  readonly value: unknown;
}

/**
 * The elements of the array at `start`, in their order; nothing where there is no array. A piece is about
 * as much text as is parsed in a millisecond, or one longer element. Throws JsonSyntaxError.
 */
export function* elementPieces(
  json: Uint8Array,
  start: number,
): Generator<readonly JsonElement[], void> {
  let spans: JsonSpan[] = [];
  for (const span of elementsOf(json, start)) {
    const bytes = span.end - (spans[0]?.start ?? span.end);
    if (bytes > PIECE_BYTES || spans.length === PIECE_ELEMENTS) {
      yield parsed(json, spans);
      spans = [];
    }
    spans.push(span);
  }
  if (spans.length > 0) yield parsed(json, spans);
}

const PIECE_BYTES = 65_536;
/** Of tiny elements more would be a burden for the garbage collector. */
const PIECE_ELEMENTS = 1_000;

/** Elements that follow one another: parsed together, several times faster than one by one. */
function parsed(json: Uint8Array, spans: readonly JsonSpan[]): readonly JsonElement[] {
  const start = spans[0]?.start ?? 0;
  const end = spans.at(-1)?.end ?? start;
  const text = Buffer.from(json.buffer, json.byteOffset + start, end - start).toString("utf8");
  const values: unknown = JSON.parse(`[${text}]`);
  if (!Array.isArray(values)) throw new TypeError("an array was parsed into something else");
  return spans.map((span, place) => ({
    start: span.start,
    end: span.end,
    value: values[place],
  }));
}
