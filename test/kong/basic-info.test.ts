import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "vitest";
import { encodeBasicInfo, parseBasicInfo } from "../../src/kong/basic-info.ts";

describe("basic_info", () => {
  it("is plain JSON with plugin names only, and no labels where there are none", () => {
    assert.equal(
      encodeBasicInfo({ plugins: ["acl", "my-plugin"], labels: {} }).toString(),
      '{"type":"basic_info","plugins":[{"name":"acl"},{"name":"my-plugin"}]}',
    );
  });

  it("carries labels", () => {
    const frame = encodeBasicInfo({ plugins: [], labels: { team: "alpha" } });
    assert.deepEqual(JSON.parse(frame.toString()).labels, { team: "alpha" });
  });

  for (const [version, plugins] of [
    ["2.8.5", 36],
    ["3.4.2", 37],
    ["3.9.1", 45],
  ] as const) {
    it(`is read from what a real ${version} data plane sent`, () => {
      const frame = readFileSync(
        new URL(`../fixtures/captures/${version}/basic_info.json`, import.meta.url),
      );
      const info = parseBasicInfo(frame);
      assert.equal(info?.plugins.length, plugins);
      assert.equal(info?.plugins[0]?.name, "acl");
      assert.deepEqual(info?.labels, version === "3.9.1" ? { env: "test", team: "alpha" } : {});
      assert.equal(info?.maxPayloadBytes, version === "2.8.5" ? undefined : 16_777_216);
    });
  }

  it("takes Lua's empty object for an empty list", () => {
    const info = parseBasicInfo(Buffer.from('{"type":"basic_info","plugins":{}}'));
    assert.deepEqual(info, { plugins: [], labels: {}, maxPayloadBytes: undefined });
  });

  for (const text of [
    "",
    "[]",
    "null",
    "{",
    '{"type":"basic_info"}',
    '{"type":"reconfigure","plugins":[]}',
    '{"type":"basic_info","plugins":"acl"}',
  ]) {
    it(`is not ${text || "an empty frame"}`, () => {
      assert.equal(parseBasicInfo(Buffer.from(text)), undefined);
    });
  }
});
