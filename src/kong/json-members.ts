/** Finds the members and elements of a large JSON text by their bytes: it never becomes a tree as a whole. */

/** A value: `json.subarray(start, end)`, without surrounding white space. */
export interface JsonSpan {
  readonly start: number;
  readonly end: number;
}

/** One member of the outermost object, and its value. */
export interface JsonMember extends JsonSpan {
  readonly key: string;
}

/** Not one JSON object by RFC 8259. `offset` is the byte at which reading stopped. */
export class JsonSyntaxError extends Error {
  readonly offset: number;

  constructor(what: string, offset: number) {
    super(`${what} at byte ${offset}`);
    this.name = "JsonSyntaxError";
    this.offset = offset;
  }
}

/** Deepest nesting accepted, as Kong's own parser: lua-cjson's decode_max_depth, https://github.com/openresty/lua-cjson */
const MAX_DEPTH = 1000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
/** `"`, `\`, `/`, b, f, n, r, t; `\u` is handled apart. */
const SIMPLE_ESCAPES: ReadonlySet<number> = new Set(Buffer.from('"\\/bfnrt'));
const LITERALS: ReadonlyMap<number, Uint8Array> = new Map(
  ["true", "false", "null"].map((text) => [text.charCodeAt(0), Buffer.from(text)]),
);

/**
 * Members of the one object that `json` consists of, in the order they stand. The whole text is
 * checked against RFC 8259, nested values included, except that bytes above 0x7f inside strings are
 * taken as they are: Kong does not validate UTF-8. A key that occurs twice is listed twice (a parser
 * takes the last). Throws JsonSyntaxError.
 */
export function jsonMembers(json: Uint8Array): readonly JsonMember[] {
  const members: JsonMember[] = [];
  walkObject(json, (key, start) => {
    const end = endOfValue(json, start);
    members.push({ key, start, end });
    return end;
  });
  return members;
}

/**
 * How many elements each member of the one object has whose value is an array; 0 also for `{}`, which
 * is what an empty Lua table may be written as. Other members are left out. Checks what jsonMembers
 * does, in one pass; of a key that stands twice the last counts. Throws JsonSyntaxError.
 */
export function arrayLengths(json: Uint8Array): ReadonlyMap<string, number> {
  const lengths = new Map<string, number>();
  walkObject(json, (key, start) => {
    lengths.delete(key);
    if (json[start] === OPEN_BRACKET) {
      const { length, end } = measureArray(json, start);
      lengths.set(key, length);
      return end;
    }
    const isEmpty = json[start] === OPEN_BRACE && json[skipSpace(json, start + 1)] === CLOSE_BRACE;
    if (isEmpty) lengths.set(key, 0);
    return endOfValue(json, start);
  });
  return lengths;
}

/** The elements of the array at `start`, one after the other; none where there is no array. Throws JsonSyntaxError. */
export function* elementsOf(json: Uint8Array, start: number): Generator<JsonSpan, void> {
  let position = skipSpace(json, start + 1);
  if (json[start] !== OPEN_BRACKET || json[position] === CLOSE_BRACKET) return;
  for (;;) {
    const end = endOfValue(json, position, 1);
    yield { start: position, end };
    position = skipSpace(json, end);
    if (json[position] === CLOSE_BRACKET) return;
    if (json[position] !== COMMA) throw new JsonSyntaxError("expected , or ]", position);
    position = skipSpace(json, position + 1);
  }
}

/** Calls `onValue` with the key and the offset of every member's value; it returns the offset behind the value. */
function walkObject(json: Uint8Array, onValue: (key: string, start: number) => number): void {
  let position = skipSpace(json, 0);
  if (json[position] !== OPEN_BRACE) throw new JsonSyntaxError("expected {", position);
  position = skipSpace(json, position + 1);
  if (json[position] !== CLOSE_BRACE) {
    for (;;) {
      const keyStart = position;
      const keyEnd = endOfString(json, keyStart);
      const start = skipSpace(json, afterColon(json, keyEnd));
      const end = onValue(decodeString(json, keyStart, keyEnd), start);
      position = skipSpace(json, end);
      if (json[position] === CLOSE_BRACE) break;
      if (json[position] !== COMMA) throw new JsonSyntaxError("expected , or }", position);
      position = skipSpace(json, position + 1);
    }
  }
  position = skipSpace(json, position + 1);
  if (position !== json.length)
    throw new JsonSyntaxError("unexpected text after the object", position);
}

/** Of the array that starts at `start`: its elements, and the offset behind it. */
function measureArray(json: Uint8Array, start: number): { length: number; end: number } {
  let length = 0;
  let lastEnd = start + 1;
  for (const { end } of elementsOf(json, start)) {
    length += 1;
    lastEnd = end;
  }
  return { length, end: skipSpace(json, lastEnd) + 1 };
}

/** Offset behind the value that starts at `start`, inside `depth` containers. A stack instead of recursion: the depth comes from the wire. */
function endOfValue(json: Uint8Array, start: number, depth = 0): number {
  const closers: number[] = [];
  let position = start;
  for (;;) {
    const first = json[position];
    if (first === OPEN_BRACE || first === OPEN_BRACKET) {
      const closer = first === OPEN_BRACE ? CLOSE_BRACE : CLOSE_BRACKET;
      if (closers.push(closer) + depth >= MAX_DEPTH) {
        throw new JsonSyntaxError(`nested deeper than ${MAX_DEPTH} levels`, position);
      }
      position = skipSpace(json, position + 1);
      if (json[position] !== closer) {
        if (closer === CLOSE_BRACE) position = afterKey(json, position);
        continue;
      }
    } else {
      position = endOfScalar(json, position);
    }
    // Here a scalar has ended, or `position` stands on the closer of an empty container.
    for (;;) {
      const closer = closers.at(-1);
      if (closer === undefined) return position;
      position = skipSpace(json, position);
      if (json[position] === closer) {
        closers.pop();
        position += 1;
        continue;
      }
      if (json[position] !== COMMA) {
        throw new JsonSyntaxError(`expected , or ${String.fromCharCode(closer)}`, position);
      }
      position = skipSpace(json, position + 1);
      if (closer === CLOSE_BRACE) position = afterKey(json, position);
      break;
    }
  }
}

function endOfScalar(json: Uint8Array, start: number): number {
  const first = json[start];
  if (first === QUOTE) return endOfString(json, start);
  const literal = first === undefined ? undefined : LITERALS.get(first);
  if (literal === undefined) return endOfNumber(json, start);
  for (let index = 1; index < literal.length; index += 1) {
    if (json[start + index] !== literal[index]) {
      throw new JsonSyntaxError("unexpected token", start + index);
    }
  }
  return start + literal.length;
}

function endOfString(json: Uint8Array, start: number): number {
  if (json[start] !== QUOTE) throw new JsonSyntaxError('expected "', start);
  let position = start + 1;
  for (;;) {
    const byte = json[position];
    if (byte === undefined) throw new JsonSyntaxError("unterminated string", position);
    if (byte === QUOTE) return position + 1;
    if (byte < 0x20) throw new JsonSyntaxError("control character in a string", position);
    position = byte === BACKSLASH ? endOfEscape(json, position + 1) : position + 1;
  }
}

function endOfEscape(json: Uint8Array, start: number): number {
  const byte = json[start];
  if (byte !== undefined && SIMPLE_ESCAPES.has(byte)) return start + 1;
  if (byte !== 0x75) throw new JsonSyntaxError("bad escape", start);
  for (let position = start + 1; position < start + 5; position += 1) {
    if (!isHexDigit(json[position])) throw new JsonSyntaxError("bad escape", start);
  }
  return start + 5;
}

function isHexDigit(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  // Lower-case letters differ from capitals by one bit.
  const lower = byte | 0x20;
  return (byte >= ZERO && byte <= NINE) || (lower >= 0x61 && lower <= 0x66);
}

function endOfNumber(json: Uint8Array, start: number): number {
  let position = json[start] === MINUS ? start + 1 : start;
  position = json[position] === ZERO ? position + 1 : endOfDigits(json, position);
  if (json[position] === DOT) position = endOfDigits(json, position + 1);
  if (json[position] === 0x65 || json[position] === 0x45) {
    const sign = json[position + 1];
    position = endOfDigits(json, position + (sign === PLUS || sign === MINUS ? 2 : 1));
  }
  return position;
}

function endOfDigits(json: Uint8Array, start: number): number {
  let position = start;
  for (;;) {
    const byte = json[position];
    if (byte === undefined || byte < ZERO || byte > NINE) break;
    position += 1;
  }
  if (position === start) throw new JsonSyntaxError("unexpected token", start);
  return position;
}

/** Offset of the value behind the key that starts at `start`. */
function afterKey(json: Uint8Array, start: number): number {
  return skipSpace(json, afterColon(json, endOfString(json, start)));
}

function afterColon(json: Uint8Array, start: number): number {
  const position = skipSpace(json, start);
  if (json[position] !== COLON) throw new JsonSyntaxError("expected :", position);
  return position + 1;
}

function skipSpace(json: Uint8Array, start: number): number {
  let position = start;
  for (;;) {
    const byte = json[position];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return position;
    position += 1;
  }
}

function decodeString(json: Uint8Array, start: number, end: number): string {
  const text: unknown = JSON.parse(Buffer.from(json.subarray(start, end)).toString("utf8"));
  return String(text);
}

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

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export type JsonObject = { readonly [key: string]: Json };

/** `Array.isArray` does not narrow readonly arrays. */
export function isArray(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}
