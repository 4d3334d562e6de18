/** argv: the command, and flags that stand for settings. */

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { describeCause } from "../core/errors.ts";
import type { Settings } from "../runtime/settings.ts";
import type { Environment } from "../runtime/settings-reader.ts";
import type { SettingName } from "../runtime/settings-table.ts";
import type { Command } from "./context.ts";
import { UsageError } from "./usage-error.ts";

export type CommandLine =
  | { readonly kind: "print"; readonly text: string }
  | {
      readonly kind: "run";
      /** The environment with the flags laid over it. */
      readonly environment: Environment;
      readonly json: boolean;
      /** Without a command on the command line, the role is read from the settings. */
      readonly load: (settings: Settings) => Promise<Command>;
    };

/** Each command is loaded when it is run: the SDKs behind them are slow to load. */
const COMMANDS = {
  export: async () => (await import("./export.ts")).exportCommand,
  import: async () => (await import("./import.ts")).importCommand,
  serve: async () => (await import("./serve/serve.ts")).serveCommand,
  demo: async () => (await import("./demo/demo.ts")).demoCommand,
} as const satisfies Record<string, () => Promise<Command>>;
type CommandName = keyof typeof COMMANDS;

/** Flags that are nothing but another way to give a setting. */
const FLAG_SETTINGS = {
  to: "KONG_FALLBACK_IMPORT_TO",
  force: "KONG_FALLBACK_FORCE",
  probe: "KONG_FALLBACK_PROBE",
  "probe-timeout": "KONG_FALLBACK_PROBE_TIMEOUT",
  "prefix-dir": "KONG_FALLBACK_PREFIX_DIR",
  target: "KONG_FALLBACK_SERVE_TARGET",
} as const satisfies Record<string, SettingName>;

const HELP = `kong-fallback: data planes that start while Kong's control plane is down

Usage: kong-fallback [command] [flags]

Commands
  export   follow the control plane and save each config; runs until stopped
  import   if the control plane is unreachable, hand the saved config to a new data plane
  serve    give data planes the live config, or the saved one while there is none; runs until stopped
  demo     the whole story on this machine, without Kong, cloud or Docker

Without a command, KONG_CLUSTER_FALLBACK_CONFIG_EXPORT=on means export and
KONG_CLUSTER_FALLBACK_CONFIG_IMPORT=on means import.

Flags of import
  --to TARGET              file:/path, - (standard output), or the URL of an Admin API
  --force                  do not ask whether the control plane lives
  --probe handshake|config when the control plane counts as alive
  --probe-timeout SECONDS  how long it is tried
  --prefix-dir DIR         the data plane's prefix, for Kong's own cache
  --json                   the outcome as JSON on standard output

Flags of serve
  --target planes|admin|URL
                           data planes (default), or the Admin API of a DB-less Kong

Flags of demo
  --json                   the steps as JSON on standard output

Everything else is set by environment variables, Kong's own where Kong has one:
README.md has the table. Exit status: 0 done, 1 unexpected, 2 usage or settings,
3 no usable snapshot, 4 store, target or control plane unavailable.
`;

export function parseCommandLine(argv: readonly string[], environment: Environment): CommandLine {
  const { values, positionals } = parse(argv);
  if (values.help) return { kind: "print", text: HELP };
  if (values.version) return { kind: "print", text: `${packageVersion()}\n` };
  const [name, extra] = positionals;
  if (extra !== undefined)
    throw new UsageError(`one command at a time, not ${positionals.join(" ")}`);
  if (name !== undefined && !isCommandName(name))
    throw new UsageError(`there is no command ${name}`);
  const flags = Object.entries(FLAG_SETTINGS).flatMap(([flag, setting]) => {
    const value = values[flag as keyof typeof FLAG_SETTINGS];
    return value === undefined ? [] : [[setting, value === true ? "on" : String(value)] as const];
  });
  return {
    kind: "run",
    environment: { ...environment, ...Object.fromEntries(flags) },
    json: values.json ?? false,
    load: (settings) => COMMANDS[name ?? roleOf(settings)](),
  };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        to: { type: "string" },
        force: { type: "boolean" },
        probe: { type: "string" },
        "probe-timeout": { type: "string" },
        "prefix-dir": { type: "string" },
        target: { type: "string" },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
        version: { type: "boolean", short: "v" },
      },
    });
  } catch (error) {
    throw new UsageError(describeCause(error).replace(/ \(ERR_\w+\)$/, ""));
  }
}

function isCommandName(name: string): name is CommandName {
  return Object.hasOwn(COMMANDS, name);
}

function roleOf(settings: Settings): CommandName {
  if (settings.exportRole && settings.importRole) {
    throw new UsageError(
      "KONG_CLUSTER_FALLBACK_CONFIG_EXPORT and KONG_CLUSTER_FALLBACK_CONFIG_IMPORT are both on, and one process has one role",
      "Turn one off, or name the command: kong-fallback export, import or serve.",
    );
  }
  if (settings.exportRole) return "export";
  if (settings.importRole) return "import";
  throw new UsageError(
    "no command given, and neither KONG_CLUSTER_FALLBACK_CONFIG_EXPORT nor KONG_CLUSTER_FALLBACK_CONFIG_IMPORT is on",
  );
}

function packageVersion(): string {
  const manifest: unknown = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  );
  return String((manifest as { version: unknown }).version);
}
