import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, it } from "vitest";
import {
  countEntities,
  decodeEntityCounts,
  encodeEntityCounts,
} from "../../src/kong/entity-counts.ts";
import { JsonSyntaxError } from "../../src/kong/json-members.ts";
import { decodeReconfigure } from "../../src/kong/reconfigure.ts";

const countsIn = (json: string) => countEntities(Buffer.from(json));

async function recorded(name: string): Promise<Uint8Array> {
  const url = new URL(`../fixtures/captures/${name}.reconfigure.bin`, import.meta.url);
  const update = await decodeReconfigure(readFileSync(url), { maxConfigBytes: 1_000_000 });
  return update.configTable;
}

describe("counting the entities of a config", () => {
  it.each(["3.9.1/rich", "3.4.2/rich"])(
    "finds in %s, recorded from a real Kong, what a parser finds",
    async (name) => {
      const config = await recorded(name);
      const parsed = JSON.parse(Buffer.from(config).toString("utf8")) as Record<string, unknown>;
      const arrays = Object.entries(parsed).flatMap(([kind, value]) =>
        Array.isArray(value) ? [[kind, value.length] as const] : [],
      );
      assert.ok(arrays.length > 15);
      assert.deepEqual(countEntities(config), Object.fromEntries(arrays));
    },
  );

  it("finds in an empty control plane's config only what Kong itself put there", async () => {
    const counts = countEntities(await recorded("3.9.1/empty"));
    assert.deepEqual(counts, { workspaces: 1, parameters: 1 });
  });

  it("counts custom entities, and an empty Lua table as 0", () => {
    assert.deepEqual(countsIn('{"my-plugin_rules":[{},{}],"plugins":{},"routes":[]}'), {
      "my-plugin_rules": 2,
      plugins: 0,
      routes: 0,
    });
  });

  it("leaves out what is no kind: other values, underscored members, odd names", () => {
    const json =
      '{"_format_version":"3.0","_ignore":[1],"__proto__":[1],"a":null,"b":{"c":[1]},"d":"[1]",' +
      `"":[1],"e,f=1":[1],"größe":[1],"\\n":[1],"${"g".repeat(65)}":[1]}`;
    assert.deepEqual(countsIn(json), {});
  });

  it("does not count what is nested in other entities", () => {
    const json = '{"services":[{"name":"s","routes":[{"name":"r"}],"plugins":[{"name":"acl"}]}]}';
    assert.deepEqual(countsIn(json), { services: 1 });
  });

  it("refuses a text that is not one JSON object", () => {
    assert.throws(() => countsIn('{"services":[{}'), JsonSyntaxError);
    assert.throws(() => countsIn("[]"), JsonSyntaxError);
  });
});

const kind = fc.oneof(
  fc.constantFrom("services", "routes", "constructor", "toString", "hasOwnProperty"),
  fc.stringMatching(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/),
);
const entry = fc.tuple(kind, fc.nat(10_000_000));
const distinct = { selector: ([name]: [string, number]) => name, size: "max" } as const;
/** As many as fit, or far more. */
const someCounts = fc
  .oneof(
    fc.uniqueArray(entry, { ...distinct, maxLength: 20 }),
    fc.uniqueArray(entry, { ...distinct, minLength: 100, maxLength: 120 }),
  )
  .map((entries): Record<string, number> => Object.fromEntries(entries));

describe("entity counts as text", () => {
  it("are sorted by name, without the kinds that have none", () => {
    const counts = { services: 10, consumers: 0, routes: 20, Z: 1 };
    assert.equal(encodeEntityCounts(counts), "Z=1,routes=20,services=10");
    assert.equal(encodeEntityCounts({ routes: 0 }), "none");
    assert.deepEqual(decodeEntityCounts("none"), {});
  });

  it("fit into 512 bytes and come back, or are not written at all", () => {
    let tooLong = 0;
    fc.assert(
      fc.property(someCounts, (counts) => {
        const text = encodeEntityCounts(counts);
        if (text === undefined) {
          tooLong += 1;
          return;
        }
        assert.ok(/^[\x21-\x7e]+$/.test(text) && text.length <= 512, text);
        const some = Object.entries(counts).filter(([, count]) => count > 0);
        assert.deepEqual(decodeEntityCounts(text), Object.fromEntries(some));
      }),
    );
    assert.ok(tooLong > 0);
  });

  it("are not written only where they do not fit", () => {
    // 8 characters and a comma each: 57 of them are 512 characters long.
    const named = (index: number) => `kind${String(index).padStart(2, "0")}`;
    const counts = (length: number) =>
      Object.fromEntries(Array.from({ length }, (_, index) => [named(index), 1 + (index % 9)]));
    assert.equal(encodeEntityCounts(counts(57))?.length, 512);
    assert.equal(encodeEntityCounts(counts(58)), undefined);
  });

  it("are not read from anything else", () => {
    const texts = [
      "services",
      "services=",
      "services=-1",
      "services=1.5",
      "=1",
      "_a=1",
      "a=1,,b=1",
    ];
    const more = [
      "",
      "a=1,",
      "a=1,a=1",
      "...",
      "a=1,...,b=1",
      "a = 1",
      "a=1=2",
      `a=${"1".repeat(16)}`,
    ];
    for (const text of [...texts, ...more]) {
      assert.equal(decodeEntityCounts(text), undefined, text);
    }
  });
});
