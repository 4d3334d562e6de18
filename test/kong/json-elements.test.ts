import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { adaptConfig } from "../../src/kong/adapt/adapt-config.ts";
import { elementPieces } from "../../src/kong/json-members.ts";
import { V391 } from "../fakes/config.ts";

describe("the elements of an array, in pieces", () => {
  it("are those of JSON.parse, each where it stands, however short, long or many", () => {
    const long = "größe".repeat(30_000);
    const values = [...Array(2_500).keys(), { long }, [long, [long]], null, "ü", {}, ...[long]];
    for (const space of [undefined, 1]) {
      const json = Buffer.from(JSON.stringify(values, null, space));
      const pieces = [...elementPieces(json, 0)];
      const elements = pieces.flat();
      assert.deepEqual(
        elements.map(({ value }) => value),
        values,
      );
      for (const { start, end, value } of elements) {
        assert.deepEqual(JSON.parse(json.toString("utf8", start, end)), value);
      }
      assert.ok(pieces.length > 5);
    }
  });

  it("are none where there is no array, or an empty one", () => {
    for (const text of ["[ ]", "{}", "7"]) {
      assert.deepEqual([...elementPieces(Buffer.from(text), 0)], []);
    }
  });

  it("are cut out right beyond the first piece, too", () => {
    const plugins = Array.from({ length: 5_000 }, (_, place) => ({
      id: `${place}`,
      name: place % 3 === 0 ? "cors" : "saml",
      ...(place % 2 === 0 ? { ws_id: "w" } : {}),
    }));
    const config = Buffer.from(JSON.stringify({ plugins }));
    const adapted = adaptConfig(config, { kongVersion: V391, plugins: [] });
    const left = plugins
      .filter(({ name }) => name === "cors")
      .map(({ id, name }) => ({ id, name }));
    assert.equal(Buffer.from(adapted.config).toString(), JSON.stringify({ plugins: left }));
  });
});
