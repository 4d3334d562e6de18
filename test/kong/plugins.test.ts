/** Which plugins are declared, and which a config uses. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "vitest";
import { configuredPlugins, declaredPlugins, KONG_PLUGIN_NAMES } from "../../src/kong/plugins.ts";
import { decodeReconfigure } from "../../src/kong/reconfigure.ts";

describe("the declared plugins", () => {
  it("hold every plugin real data planes declared, in their order", () => {
    for (const version of ["2.8.5", "3.4.2", "3.9.1"]) {
      const { plugins } = JSON.parse(
        readFileSync(
          new URL(`../fixtures/captures/${version}/basic_info.json`, import.meta.url),
          "utf8",
        ),
      ) as { plugins: { name: string }[] };
      const names = plugins.map(({ name }) => name);
      const declared = declaredPlugins([]);
      assert.deepEqual(
        declared.filter((name) => names.includes(name)),
        names,
      );
    }
  });

  it("hold Enterprise's plugins", () => {
    for (const name of ["openid-connect", "rate-limiting-advanced", "ai-proxy-advanced"]) {
      assert.ok(KONG_PLUGIN_NAMES.includes(name), name);
    }
  });

  it("hold the custom ones, sorted by lower-cased name, each once", () => {
    const declared = declaredPlugins(["Zebra", "abc", "acl", "abc", "Basic-Auth-2"]);
    assert.equal(declared.length, KONG_PLUGIN_NAMES.length + 3);
    assert.deepEqual(
      declared.map((name) => name.toLowerCase()),
      declared.map((name) => name.toLowerCase()).sort(),
    );
    for (const name of ["Zebra", "abc", "Basic-Auth-2"]) assert.ok(declared.includes(name));
  });

  it("take bundled and off for Kong's keywords, not for names", () => {
    assert.deepEqual(declaredPlugins(["bundled", "off"]), KONG_PLUGIN_NAMES);
  });

  it("are embedded sorted and without duplicates", () => {
    assert.deepEqual(KONG_PLUGIN_NAMES, [...new Set(KONG_PLUGIN_NAMES)].sort());
  });
});

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

  it("are those a Kong must have: the original of a clone, and nothing that the config brings along", () => {
    const streamed = readFileSync(
      new URL("../fixtures/configs/streamed-plugins.json", import.meta.url),
    );
    assert.deepEqual([...configuredPlugins(streamed)], ["acl"]);
    const circle =
      '{"cloned_plugins":[{"name":"a","ref":"b"},{"name":"b","ref":"a"}],"plugins":[{"name":"a"}]}';
    assert.deepEqual(namesIn(circle), ["a"]);
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
