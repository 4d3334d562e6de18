import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "vitest";
import { configuredPlugins } from "../../src/kong/plugins.ts";
import { decodeReconfigure } from "../../src/kong/reconfigure.ts";

const namesIn = (json: string) => [...configuredPlugins(Buffer.from(json))];

describe("the plugins a config uses", () => {
  it("are read from a config recorded from a real Kong, a part of a larger buffer", async () => {
    const frame = readFileSync(
      new URL("../fixtures/captures/3.9.1/rich.reconfigure.bin", import.meta.url),
    );
    const { configTable } = await decodeReconfigure(frame, { maxConfigBytes: 1_000_000 });
    assert.ok(configTable.byteOffset > 0);
    const parsed = JSON.parse(Buffer.from(configTable).toString()) as {
      plugins: { name: string }[];
    };
    const expected = [...new Set(parsed.plugins.map(({ name }) => name))].sort();
    assert.ok(expected.length >= 5);
    assert.deepEqual([...configuredPlugins(configTable)].sort(), expected);
  });

  it("are named once, and not if they are disabled", () => {
    assert.deepEqual(
      namesIn(
        '{"plugins":[{"name":"acl"},{"name":"cors","enabled":false},{"name":"acl","enabled":true},{"name":"jwt","enabled":null}]}',
      ),
      ["acl", "jwt"],
    );
  });

  it("are none where the member is missing, an empty Lua table, or no list of plugins", () => {
    for (const json of ["{}", '{"plugins":{}}', '{"plugins":[]}', '{"plugins":null}']) {
      assert.deepEqual(namesIn(json), [], json);
    }
    assert.deepEqual(namesIn('{"plugins":[null,7,"acl",[],{},{"name":7},{"name":"x"}]}'), ["x"]);
  });

  it("are only those of the config itself", () => {
    assert.deepEqual(
      namesIn(
        '{"services":[{"name":"plugins","plugins":[{"name":"acl"}]}],"plugins":[{"name":"x"}]}',
      ),
      ["x"],
    );
  });
});
