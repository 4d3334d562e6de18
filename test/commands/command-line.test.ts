import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "vitest";
import { parseCommandLine } from "../../src/commands/command-line.ts";
import { UsageError } from "../../src/commands/usage-error.ts";
import { readSettings } from "../../src/runtime/settings.ts";

function environmentOf(...argv: string[]) {
  const line = parseCommandLine(argv, { KONG_VERSION: "3.9.1" });
  assert.ok(line.kind === "run");
  return line;
}

function refusal(run: () => unknown): UsageError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    assert.equal(error.exitStatus, 2);
    return error;
  }
  assert.fail("it was accepted");
}

describe("the command line", () => {
  it("lays flags over the environment", () => {
    const { environment, json } = environmentOf(
      ...["import", "--to", "file:/x", "--force", "--adapt", "--probe", "config"],
      ...["--probe-timeout", "3", "--prefix-dir", "/kong", "--json"],
    );
    assert.equal(json, true);
    assert.deepEqual(environment, {
      KONG_VERSION: "3.9.1",
      KONG_FALLBACK_IMPORT_TO: "file:/x",
      KONG_FALLBACK_FORCE: "on",
      KONG_FALLBACK_ADAPT: "on",
      KONG_FALLBACK_PROBE: "config",
      KONG_FALLBACK_PROBE_TIMEOUT: "3",
      KONG_FALLBACK_PREFIX_DIR: "/kong",
    });
    assert.deepEqual(environmentOf("serve", "--target", "admin").environment, {
      KONG_VERSION: "3.9.1",
      KONG_FALLBACK_SERVE_TARGET: "admin",
    });
  });

  it("prints help, which names every command and flag, and the version of the package", () => {
    const help = parseCommandLine(["--help"], {});
    assert.ok(help.kind === "print");
    for (const word of [
      "export",
      "import",
      "serve",
      "demo",
      "--to",
      "--force",
      "--adapt",
      "--probe",
      "--probe-timeout",
      "--prefix-dir",
      "--target",
      "keys",
      "--signing",
      "--age",
      "--out",
      "--json",
    ]) {
      assert.ok(help.text.includes(word), word);
    }
    const { version } = JSON.parse(readFileSync("package.json", "utf8"));
    assert.deepEqual(parseCommandLine(["-v"], {}), { kind: "print", text: `${version}\n` });
  });

  it("says which flag it does not know, and no more", () => {
    const { message } = refusal(() => parseCommandLine(["import", "--too", "x"], {}));
    assert.equal(message, "Unknown option '--too'");
  });

  it("refuses what it does not know", () => {
    assert.match(refusal(() => parseCommandLine(["backup"], {})).message, /no command backup/);
    assert.match(refusal(() => parseCommandLine(["export", "import"], {})).message, /one command/);
    assert.match(refusal(() => parseCommandLine(["--frobnicate"], {})).message, /--frobnicate/);
    assert.match(refusal(() => parseCommandLine(["import", "--to"], {})).message, /--to/);
  });

  it("takes the role from Kong's own variables", async () => {
    const role = (environment: Record<string, string>) => {
      const line = parseCommandLine([], environment);
      assert.ok(line.kind === "run");
      return line.load(readSettings(environment));
    };
    const exporting = await role({ KONG_CLUSTER_FALLBACK_CONFIG_EXPORT: "on" });
    assert.equal(exporting.name, "exportCommand");
    const importing = await role({ KONG_CLUSTER_FALLBACK_CONFIG_IMPORT: "on" });
    assert.equal(importing.name, "importCommand");
  });

  it("runs the command that is named, whatever roles are on", async () => {
    const roles = {
      KONG_CLUSTER_FALLBACK_CONFIG_EXPORT: "on",
      KONG_CLUSTER_FALLBACK_CONFIG_IMPORT: "on",
    };
    for (const name of ["export", "import", "serve"]) {
      const line = parseCommandLine([name], roles);
      assert.ok(line.kind === "run");
      assert.equal((await line.load(readSettings(roles))).name, `${name}Command`);
    }
  });

  it("refuses export and import both on, and neither", () => {
    const load = (environment: Record<string, string>) => () => {
      const line = parseCommandLine([], environment);
      assert.ok(line.kind === "run");
      return line.load(readSettings(environment));
    };
    const both = refusal(
      load({
        KONG_CLUSTER_FALLBACK_CONFIG_EXPORT: "on",
        KONG_CLUSTER_FALLBACK_CONFIG_IMPORT: "on",
      }),
    );
    assert.match(both.message, /both on/);
    assert.match(both.hint ?? "", /Turn one off, .*serve/);
    assert.match(refusal(load({})).message, /no command given/);
  });
});
