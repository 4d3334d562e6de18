import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { parsePlaneError } from "../../src/kong/config-refusal.ts";

const parse = (value: unknown) => parsePlaneError(Buffer.from(JSON.stringify(value)));

describe("a data plane's report of a config it could not take", () => {
  it("is told by Kong's name and reasons, without the config's values", () => {
    const report = parse({
      type: "error",
      error: {
        name: "declarative configuration parse failure",
        source: "kong.db.declarative.parse_table",
        message: "declarative config is invalid: {very-secret}",
        config_hash: "417a8a4c1e6f6f0c8d6b8c5e4d3f2a1b",
        flattened_errors: [
          {
            entity_type: "service",
            entity_name: "billing",
            entity: { host: "very-secret" },
            errors: [{ field: "host", message: "invalid value: very-secret" }],
          },
        ],
      },
    });
    assert.deepEqual(report, {
      name: "declarative configuration parse failure",
      reasons: ['service "billing", field host: invalid value: [redacted]'],
    });
  });

  it("has ten reasons at most", () => {
    const errors = Array.from({ length: 12 }, (_, n) => ({ field: `f${n}`, message: "no" }));
    const report = parse({
      type: "error",
      error: { name: "x", flattened_errors: [{ entity_type: "route", errors }] },
    });
    assert.equal(report?.reasons.length, 10);
  });

  it("may have no name and no reasons", () => {
    assert.deepEqual(parse({ type: "error", error: {} }), { name: "unnamed error", reasons: [] });
    const { name } = parse({ type: "error", error: { name: "a\nb" } }) ?? {};
    assert.equal(name, "a b");
  });

  it.each([
    [{ type: "basic_info", plugins: [] }],
    [{ type: "error" }],
    [{ type: "error", error: "text" }],
    [null],
    [[]],
  ])("is not %j", (value) => {
    assert.equal(parse(value), undefined);
  });

  it("is no other message", () => {
    assert.equal(parsePlaneError(Buffer.from([0x1f, 0x8b, 0])), undefined);
  });
});
