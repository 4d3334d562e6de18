/** argv: the command, and flags that stand for settings. */

import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { describeCause } from "../core/errors.ts";
import type { SettingName } from "../runtime/settings/table.ts";
import type { Environment, Settings } from "../runtime/settings.ts";
import type { Terminal } from "./confirm.ts";
import type { Command } from "./context.ts";
import { HELP } from "./help.ts";
import { KEYS_FLAGS, type KeysRequest, parseKeysRequest, refuseKeysFlags } from "./keys/request.ts";
import {
  parseSnapshotsRequest,
  refuseSnapshotsFlags,
  SNAPSHOTS_FLAGS,
  type SnapshotsRequest,
} from "./snapshots/request.ts";
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
  status: async () => (await import("./status.ts")).statusCommand,
  demo: async () => (await import("./demo/demo.ts")).demoCommand,
} as const satisfies Record<string, () => Promise<Command>>;
type CommandName = keyof typeof COMMANDS;

async function loadSnapshots(
  request: SnapshotsRequest,
  stdin: Terminal["stdin"],
): Promise<Command> {
  const { snapshotsCommand } = await import("./snapshots/snapshots.ts");
  return snapshotsCommand(request, stdin);
}

async function loadKeys(request: KeysRequest): Promise<Command> {
  const { keysCommand } = await import("./keys/keys.ts");
  return keysCommand(request);
}

/** Flags that are nothing but another way to give a setting. */
const FLAG_SETTINGS = {
  to: "KONG_FALLBACK_IMPORT_TO",
  force: "KONG_FALLBACK_FORCE",
  adapt: "KONG_FALLBACK_ADAPT",
  probe: "KONG_FALLBACK_PROBE",
  "probe-timeout": "KONG_FALLBACK_PROBE_TIMEOUT",
  "prefix-dir": "KONG_FALLBACK_PREFIX_DIR",
  target: "KONG_FALLBACK_SERVE_TARGET",
  "kong-version": "KONG_VERSION",
  storage: "KONG_CLUSTER_FALLBACK_CONFIG_STORAGE",
} as const satisfies Record<string, SettingName>;

/** `stdin`: where a command that asks is answered; called only for one that may. Throws UsageError. */
export function parseCommandLine(
  argv: readonly string[],
  environment: Environment,
  stdin: () => Terminal["stdin"] = () => process.stdin,
): CommandLine {
  const { values, positionals } = parse(argv);
  if (values.help) return { kind: "print", text: HELP };
  if (values.version) return { kind: "print", text: `${packageVersion()}\n` };
  const load = parseCommand(positionals, values, stdin);
  const flags = Object.entries(FLAG_SETTINGS).flatMap(([flag, setting]) => {
    const value = values[flag as keyof typeof FLAG_SETTINGS];
    return value === undefined ? [] : [[setting, value === true ? "on" : String(value)] as const];
  });
  return {
    kind: "run",
    environment: { ...environment, ...Object.fromEntries(flags) },
    json: values.json ?? false,
    load,
  };
}

function parseCommand(
  positionals: readonly string[],
  flags: Parameters<typeof refuseSnapshotsFlags>[0] & Parameters<typeof refuseKeysFlags>[0],
  stdin: () => Terminal["stdin"],
): (settings: Settings) => Promise<Command> {
  const [name, ...rest] = positionals;
  if (name === "keys") {
    refuseSnapshotsFlags(flags);
    const request = parseKeysRequest(rest, flags);
    return () => loadKeys(request);
  }
  refuseKeysFlags(flags);
  if (name === "snapshots") {
    const request = parseSnapshotsRequest(rest, flags);
    return () => loadSnapshots(request, stdin());
  }
  refuseSnapshotsFlags(flags);
  if (rest.length > 0) throw new UsageError(`one command at a time, not ${positionals.join(" ")}`);
  if (name !== undefined && !isCommandName(name))
    throw new UsageError(`there is no command ${name}`);
  return (settings) => COMMANDS[name ?? roleOf(settings)]();
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        to: { type: "string" },
        force: { type: "boolean" },
        adapt: { type: "boolean" },
        probe: { type: "string" },
        "probe-timeout": { type: "string" },
        "prefix-dir": { type: "string" },
        target: { type: "string" },
        "kong-version": { type: "string" },
        storage: { type: "string" },
        ...SNAPSHOTS_FLAGS,
        ...KEYS_FLAGS,
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
        version: { type: "boolean", short: "v" },
      },
    });
  } catch (error) {
    // Node goes on about operands that begin with a dash, which no command of ours takes.
    const [message = ""] = describeCause(error).split(/\. | \(ERR_/);
    throw new UsageError(message);
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
