import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { SPEC_NAMES } from "../../src/commands/specs.ts";
import { Secret } from "../../src/core/secret.ts";
import { SETTINGS, type Setting, type SettingName } from "../../src/runtime/settings/table.ts";
import { readSettings } from "../../src/runtime/settings.ts";
import { plantAll } from "./secrets.ts";
import { SURFACES } from "./surfaces.ts";

const TABLE: Readonly<Record<string, Setting>> = SETTINGS;
const MARKED = Object.keys(TABLE).filter((name) => TABLE[name]?.secret === true);

/** Whether a Secret is anywhere in what is read from a setting. */
function holdsSecret(value: unknown): boolean {
  if (value instanceof Secret) return true;
  return typeof value === "object" && value !== null && Object.values(value).some(holdsSecret);
}

describe("the surfaces", () => {
  it("have names of their own, and drive every command", () => {
    assert.equal(new Set(SURFACES.map(({ name }) => name)).size, SURFACES.length);
    const driven = new Set(SURFACES.flatMap(({ commands }) => commands));
    assert.deepEqual(
      SPEC_NAMES.filter((command) => !driven.has(command)),
      [],
    );
  });

  it("are given a canary in every setting that is marked as a secret", async () => {
    const { environment, sealing } = await plantAll();
    // They have an address, so they are the world's.
    const planted = new Set([
      ...Object.keys(environment),
      ...Object.keys(sealing.environment),
      "KONG_PROXY_SERVER",
      ...["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"],
    ]);
    assert.deepEqual(
      MARKED.filter((name) => !planted.has(name)),
      [],
    );
  });
});

describe("a setting that is read as a secret", () => {
  for (const [name, { example }] of Object.entries(TABLE)) {
    it(`is marked as one in the table: ${name}`, () => {
      const setting = name as SettingName;
      const needed = { KONG_CLUSTER_USE_PROXY: "on", KONG_PROXY_SERVER: "http://proxy" };
      const environment = { ...needed, [setting]: example };
      assert.equal(holdsSecret(readSettings(environment)), MARKED.includes(name));
    });
  }
});
