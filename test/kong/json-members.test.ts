import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "vitest";
import { arrayLengths, JsonSyntaxError, jsonMembers } from "../../src/kong/json-members.ts";
import { seededRandom } from "../fakes/seeded-random.ts";

const bytes = (text: string) => Buffer.from(text, "utf8");

function parsedValue(json: Buffer, key: string): unknown {
  const member = jsonMembers(json).findLast((candidate) => candidate.key === key);
  return member && JSON.parse(json.subarray(member.start, member.end).toString("utf8"));
}

function accepts(json: Buffer): boolean {
  try {
    jsonMembers(json);
    return true;
  } catch (error) {
    assert.ok(error instanceof JsonSyntaxError, String(error));
    return false;
  }
}

function measures(json: Buffer): boolean {
  try {
    arrayLengths(json);
    return true;
  } catch (error) {
    assert.ok(error instanceof JsonSyntaxError, String(error));
    return false;
  }
}

function parserAccepts(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** JSON text of `value` with white space and escapes of the generator's choice. */
function spell(value: unknown, next: (below: number) => number): string {
  const space = () => ["", "", "", " ", "\n", "\t ", "\r\n"][next(7)] ?? "";
  const text = (string: string) =>
    `"${Array.from({ length: string.length }, (_, index) => {
      const unit = string.charCodeAt(index);
      const escaped = `\\u${unit.toString(16).padStart(4, "0")}`;
      // A lone surrogate cannot be written in UTF-8, so it is always escaped.
      if (unit < 0x20 || unit === 0x22 || unit === 0x5c) return escaped;
      if (unit >= 0xd800 && unit <= 0xdfff) return escaped;
      return next(8) === 0 ? escaped : string.charAt(index);
    }).join("")}"`;
  const write = (item: unknown): string => {
    if (typeof item === "string") return text(item);
    if (Array.isArray(item)) {
      return `[${space()}${item.map(write).join(`${space()},${space()}`)}${space()}]`;
    }
    if (typeof item === "object" && item !== null) {
      const members = Object.entries(item).map(
        ([key, member]) => `${text(key)}${space()}:${space()}${write(member)}`,
      );
      return `{${space()}${members.join(`${space()},${space()}`)}${space()}}`;
    }
    return JSON.stringify(item);
  };
  return `${space()}${write(value)}${space()}`;
}

const key = fc.oneof(
  fc.constantFrom("config_table", "type", '"config_table":', "\\", "config_table\u0000", "😀", ""),
  fc.string({ unit: "binary" }),
);
const leaf = fc.oneof(
  fc.constantFrom('{"config_table":{}}', '"}', "]},{", "\\u0022", "\u2028", "é€😀"),
  fc.string({ unit: "binary" }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
);
const { node } = fc.letrec((tie) => ({
  node: fc.oneof({ maxDepth: 5, withCrossShrink: true }, leaf, tie("array"), tie("object")),
  array: fc.array(tie("node"), { maxLength: 6 }),
  object: fc.dictionary(key, tie("node"), { maxKeys: 6, noNullPrototype: true }),
}));
const object = fc.dictionary(key, node, { minKeys: 1, maxKeys: 8, noNullPrototype: true });
/** Seeds of `choices`: a generated stream of choices costs more than all the rest. */
const seed = fc.integer();

function choices(from: number): (below: number) => number {
  const random = seededRandom(from);
  return (below) => Math.floor(random() * below);
}

/** Five of them: making a value costs far more than spelling it. */
function spellings(value: unknown, from: number): readonly Buffer[] {
  const next = choices(from);
  return Array.from({ length: 5 }, () => bytes(spell(value, next)));
}

describe("finding the members of a JSON object", () => {
  it("gives for every member the very bytes that JSON.parse reads its value from", () => {
    fc.assert(
      fc.property(object, seed, (value, from) => {
        for (const json of spellings(value, from)) {
          const parsed = JSON.parse(json.toString("utf8")) as Record<string, unknown>;
          const keys = new Set(jsonMembers(json).map((member) => member.key));
          assert.deepEqual([...keys].sort(), Object.keys(parsed).sort());
          for (const name of keys) assert.deepEqual(parsedValue(json, name), parsed[name]);
        }
      }),
      { numRuns: 400 },
    );
  });

  it("accepts and refuses exactly what JSON.parse does when a byte is changed, dropped or added", () => {
    const edit = fc.record({
      at: fc.nat(),
      kind: fc.constantFrom("replace", "drop", "insert", "cut"),
      with: fc.constantFrom(...'{}[]:,"\\ \n0123456789.eE+-truefalsn\u0001x'),
    });
    // Making a text costs far more than changing it.
    const edits = fc.array(edit, { minLength: 20, maxLength: 20 });
    fc.assert(
      fc.property(object, seed, edits, (value, from, changes) => {
        const text = spell(value, choices(from));
        for (const change of changes) {
          const at = change.at % (text.length + 1);
          const tail = { replace: at + 1, drop: at + 1, insert: at, cut: text.length }[change.kind];
          const middle = change.kind === "replace" || change.kind === "insert" ? change.with : "";
          const json = bytes(text.slice(0, at) + middle + text.slice(tail));
          const edited = json.toString("utf8");
          const isGood = parserAccepts(edited);
          assert.equal(accepts(json), isGood, edited);
          assert.equal(measures(json), isGood, edited);
        }
      }),
      { numRuns: 250 },
    );
  });

  it("is not misled by the key inside strings, deeper objects or escapes", () => {
    const json = bytes(
      '{"a":"\\"config_table\\":{}","b":{"config_table":{"x":1}},"c":["config_table",{"config_table":2}],' +
        '"\\u0063onfig_table" : {"right":true} ,"d":"config_table\\\\"}',
    );
    assert.deepEqual(parsedValue(json, "config_table"), { right: true });
  });

  it("keeps bytes that are no UTF-8 as they are", () => {
    const json = Buffer.from('{"config_table":{"name":"\xe9\xff"}}', "latin1");
    const [member] = jsonMembers(json);
    assert.equal(
      json.subarray(member?.start, member?.end).toString("latin1"),
      '{"name":"\xe9\xff"}',
    );
  });

  it("says where reading stopped", () => {
    assert.throws(() => jsonMembers(bytes('{"a":1,}')), /expected " at byte 7/);
    assert.throws(() => jsonMembers(bytes('{"a":[1,2')), /expected , or \] at byte 9/);
    assert.throws(() => jsonMembers(bytes('{"a":tru}')), /unexpected token at byte 8/);
    assert.throws(() => jsonMembers(bytes("[]")), /expected \{ at byte 0/);
    assert.throws(() => jsonMembers(bytes("")), /expected \{ at byte 0/);
    assert.throws(() => jsonMembers(bytes("{} {}")), /unexpected text after the object at byte 3/);
    assert.throws(() => jsonMembers(bytes("\uFEFF{}")), /expected \{ at byte 0/);
  });

  it("refuses nesting that would exhaust a parser, without exhausting itself", () => {
    const deep = (depth: number) => bytes(`{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`);
    assert.ok(accepts(deep(999)));
    assert.throws(() => jsonMembers(deep(1_000_000)), /nested deeper than 1000 levels/);
    assert.equal(arrayLengths(deep(999)).get("a"), 1);
    for (const read of [jsonMembers, arrayLengths]) {
      assert.throws(() => read(deep(1000)), /nested deeper than 1000 levels/);
    }
  });

  it("lists a key that stands twice twice, the last one last", () => {
    const members = jsonMembers(bytes('{"a":1,"a":2}'));
    assert.deepEqual(
      members.map((member) => [member.key, member.start]),
      [
        ["a", 5],
        ["a", 11],
      ],
    );
  });
});

describe("measuring the arrays of a JSON object", () => {
  it("counts as many elements as JSON.parse finds, and none in an empty object", () => {
    const tables = fc.dictionary(key, fc.oneof(fc.array(node, { maxLength: 20 }), node), {
      maxKeys: 8,
      noNullPrototype: true,
    });
    fc.assert(
      fc.property(tables, seed, (value, from) => {
        for (const json of spellings(value, from)) {
          const parsed = JSON.parse(json.toString("utf8")) as Record<string, unknown>;
          const expected = new Map<string, number>();
          for (const [name, item] of Object.entries(parsed)) {
            if (Array.isArray(item)) expected.set(name, item.length);
            else if (JSON.stringify(item) === "{}") expected.set(name, 0);
          }
          assert.deepEqual(arrayLengths(json), expected);
        }
      }),
      { numRuns: 100 },
    );
  });

  it("takes the last of a key that stands twice, as a parser does", () => {
    assert.deepEqual(arrayLengths(bytes('{"a":[1,2],"a":[3]}')), new Map([["a", 1]]));
    assert.deepEqual(arrayLengths(bytes('{"a":[1,2],"a":null}')), new Map());
  });
});
