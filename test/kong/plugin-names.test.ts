import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "vitest";
import { declaredPlugins, KONG_PLUGIN_NAMES } from "../../src/kong/plugins.ts";

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
