import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "vitest";
import { parseCommandLine } from "../../src/commands/command-line.ts";
import {
  COMMANDS,
  type CommandSpec,
  FLAGS,
  type FlagSpec,
  SPEC_NAMES,
} from "../../src/commands/specs.ts";
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
    for (const word of [...SPEC_NAMES, ...Object.keys(FLAGS).map((flag) => `--${flag}`)]) {
      assert.ok(help.text.includes(word), word);
    }
    assert.ok(help.text.split("\n").every((line) => line.length <= 100));
    const { version } = JSON.parse(readFileSync("package.json", "utf8"));
    assert.deepEqual(parseCommandLine(["-v"], {}), { kind: "print", text: `${version}\n` });
  });

  it.each(SPEC_NAMES)(
    "prints help for %s: its flags, an example that works, its settings",
    (name) => {
      const help = parseCommandLine([...name.split(" "), "--help"], {});
      assert.ok(help.kind === "print");
      const { flags, example }: CommandSpec = COMMANDS[name];
      for (const flag of flags) {
        assert.ok(help.text.includes(`--${flag}`), flag);
        const { setting }: FlagSpec = FLAGS[flag];
        if (setting !== undefined) assert.match(help.text, new RegExp(`^  ${setting}  `, "m"));
      }
      assert.ok(help.text.includes("KONG_LOG_LEVEL"));
      assert.ok(help.text.includes(example));
      const argv = example.split(" ").slice(1);
      assert.equal(parseCommandLine(argv, {}).kind, "run");
      assert.deepEqual(argv.slice(0, name.split(" ").length), name.split(" "));
    },
  );

  it("prints help for all actions of a command, and everything for one that there is not", () => {
    const textOf = (...argv: string[]) => {
      const help = parseCommandLine([...argv, "--help"], {});
      return help.kind === "print" ? help.text : "";
    };
    for (const action of ["list", "show", "diff", "verify", "restore", "prune"]) {
      assert.ok(textOf("snapshots").includes(`Usage: kong-fallback snapshots ${action}`), action);
    }
    assert.equal(textOf("backup"), textOf());
  });

  it.each([
    [["import", "--too", "x"], "Unknown option '--too'; did you mean --to?"],
    [["import", "--frobnicate"], "Unknown option '--frobnicate'"],
    [["import", "--to"], "Option '--to <value>' argument missing"],
    [["backup"], "there is no command backup"],
    [["snapshot", "list"], "there is no command snapshot; did you mean snapshots?"],
    [["export", "import"], "one command at a time, not export import"],
    [["status", "now"], "status cannot be run with now"],
    [["snapshots"], "snapshots needs an action: list, show, diff, verify, restore, prune"],
    [
      ["snapshots", "undo"],
      "snapshots has no action undo, only list, show, diff, verify, restore, prune",
    ],
    [["snapshots", "list", "x"], "snapshots list cannot be run with x"],
    [["snapshots", "diff", "a"], "snapshots diff cannot be run with a"],
    [["snapshots", "restore"], "snapshots restore cannot be run with nothing more"],
    [["snapshots", "show", "a", "b"], "snapshots show cannot be run with a b"],
    [["keys"], "keys needs an action: generate"],
    [["keys", "rotate"], "keys has no action rotate, only generate"],
    [["keys", "generate", "--out", "x"], "keys generate needs --signing, --age, or both"],
    [["keys", "generate", "--age"], "keys generate needs --out, a directory"],
    [["keys", "generate", "--age", "--out", ""], "keys generate needs --out, a directory"],
    [["keys", "generate", "more", "--age", "--out", "x"], "keys generate cannot be run with more"],
  ])("refuses %j", (argv, message) => {
    assert.equal(refusal(() => parseCommandLine(argv, {})).message, message);
  });

  it("says how a command is called that was called wrongly", () => {
    const { hint } = refusal(() => parseCommandLine(["snapshots", "diff", "a"], {}));
    assert.match(hint ?? "", /^kong-fallback snapshots diff A B \[--kong-version VERSION\]/);
  });

  it.each([
    // Each was taken once, and ignored: the first restored, whatever was meant by the flag.
    [["snapshots", "restore", "x", "--force"], "--force, which is one of import"],
    [["status", "--force", "--target", "admin"], "--force, which is one of import"],
    [["status", "--target", "admin"], "--target, which is one of serve"],
    [["snapshots", "restore", "x", "--dry-run"], "--dry-run, which is one of snapshots prune"],
    [["export", "--age"], "--age, which is one of keys generate"],
    [["serve", "--json"], "--json, which is one of import, status, snapshots, keys generate, demo"],
    [
      ["demo", "--storage", "file:///x"],
      "--storage, which is one of export, import, serve, status, snapshots",
    ],
  ])("never ignores a flag of another command: %j", (argv, what) => {
    const { message, hint } = refusal(() => parseCommandLine(argv, {}));
    assert.ok(message.endsWith(` has no flag ${what}`), message);
    assert.match(hint ?? "", /^kong-fallback /);
  });

  it("takes no flag anywhere but where the spec has it", () => {
    for (const name of SPEC_NAMES) {
      const { flags: own, operands }: CommandSpec = COMMANDS[name];
      const call = [...name.split(" "), ...Array.from({ length: operands?.min ?? 0 }, () => "x")];
      const needed = name === "keys generate" ? ["--age", "--out", "x"] : [];
      for (const [flag, { type }] of Object.entries<FlagSpec>(FLAGS)) {
        const argv = [...call, ...needed, `--${flag}`, ...(type === "string" ? ["x"] : [])];
        if (own.some((each) => each === flag)) parseCommandLine(argv, {});
        else assert.match(refusal(() => parseCommandLine(argv, {})).message, /has no flag/);
      }
    }
  });

  it("refuses a flag that the role from the settings does not take", () => {
    const role = { KONG_CLUSTER_FALLBACK_CONFIG_EXPORT: "on" };
    const line = parseCommandLine(["--force"], role);
    assert.ok(line.kind === "run");
    const { message } = refusal(() => line.load(readSettings(role)));
    assert.equal(message, "export has no flag --force, which is one of import");
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

  it("lays the flags of status and snapshots over the environment, too", () => {
    for (const argv of [["snapshots", "list"], ["status"]]) {
      const where = ["--kong-version", "3.8.1", "--storage", "file:///x"];
      assert.deepEqual(environmentOf(...argv, ...where).environment, {
        KONG_VERSION: "3.8.1",
        KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "file:///x",
      });
    }
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
