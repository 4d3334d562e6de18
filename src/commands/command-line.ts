/** argv: the command, what it is done to, and flags, of which some stand for settings. */

import { parseArgs } from "node:util";
import manifest from "../../package.json" with { type: "json" };
import { closestOf } from "../core/edit-distance.ts";
import { describeCause } from "../core/errors.ts";
import type { Environment, Settings } from "../runtime/settings.ts";
import type { Terminal } from "./confirm.ts";
import type { Command } from "./context.ts";
import { commandHelp, generalHelp, takersOf } from "./help.ts";
import type { KeysRequest } from "./keys/keys.ts";
import type { SnapshotsRequest } from "./snapshots/request.ts";
import {
  COMMANDS,
  COMMON_FLAGS,
  type CommandSpec,
  commandOf,
  FLAGS,
  type Flag,
  type FlagSpec,
  SPEC_NAMES,
  type SpecName,
  usageOf,
} from "./specs.ts";
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

/** What a command is called with; its operands fit. */
interface Call {
  readonly operands: readonly string[];
  readonly flags: Flags;
  readonly stdin: () => Terminal["stdin"];
}

type Flags = { readonly [Name in Flag]?: string | boolean };

/**
 * `stdin`: where a command that asks is answered; called only for one that may. Throws UsageError. A
 * flag that the command does not take is refused, never ignored: `restore --dry-run` must not restore.
 */
export function parseCommandLine(
  argv: readonly string[],
  environment: Environment,
  stdin: () => Terminal["stdin"] = () => process.stdin,
): CommandLine {
  const { flags, wantsHelp, wantsVersion, positionals } = parse(argv);
  if (wantsHelp) return { kind: "print", text: helpOf(positionals) };
  if (wantsVersion) return { kind: "print", text: `${manifest.version}\n` };
  const named = positionals.length === 0 ? undefined : nameOf(positionals);
  const begin = (name: SpecName): (() => Promise<Command>) => {
    refuseForeignFlags(name, flags);
    const operands = positionals.slice(name.split(" ").length);
    refuseWrongOperands(name, operands);
    return LOADERS[name]({ operands, flags, stdin });
  };
  const load = named && begin(named);
  return {
    kind: "run",
    environment: { ...environment, ...settingsOf(flags) },
    json: flags.json === true,
    load: (settings) => (load ?? begin(roleOf(settings)))(),
  };
}

/** Each command is loaded when it is run: the SDKs behind them are slow to load. */
const LOADERS: Readonly<Record<SpecName, (call: Call) => () => Promise<Command>>> = {
  export: () => async () => (await import("./export.ts")).exportCommand,
  import: () => async () => (await import("./import.ts")).importCommand,
  serve: () => async () => (await import("./serve/serve.ts")).serveCommand,
  status: () => async () => (await import("./status.ts")).statusCommand,
  demo: () => async () => (await import("./demo/demo.ts")).demoCommand,
  "snapshots list": ({ flags, stdin }) =>
    snapshots(
      { kind: "list", all: isOn(flags.all), allVersions: isOn(flags["all-versions"]) },
      stdin,
    ),
  "snapshots show": ({ operands: [which = "current"], flags, stdin }) =>
    snapshots({ kind: "show", which, config: isOn(flags.config) }, stdin),
  "snapshots diff": ({ operands: [from = "", to = ""], stdin }) =>
    snapshots({ kind: "diff", from, to }, stdin),
  "snapshots verify": ({ flags, stdin }) =>
    snapshots(
      { kind: "verify", deep: isOn(flags.deep), allVersions: isOn(flags["all-versions"]) },
      stdin,
    ),
  "snapshots restore": ({ operands: [id = ""], flags, stdin }) =>
    snapshots(
      { kind: "restore", id, takeOver: isOn(flags["take-over"]), yes: isOn(flags.yes) },
      stdin,
    ),
  "snapshots prune": ({ flags, stdin }) =>
    snapshots({ kind: "prune", dryRun: isOn(flags["dry-run"]) }, stdin),
  "keys generate": ({ flags }) => {
    const request = keysRequest(flags);
    return async () => (await import("./keys/keys.ts")).keysCommand(request);
  },
};

function snapshots(request: SnapshotsRequest, stdin: Call["stdin"]): () => Promise<Command> {
  return async () => (await import("./snapshots/snapshots.ts")).snapshotsCommand(request, stdin());
}

function keysRequest({ signing, age, out }: Flags): KeysRequest {
  const hint = COMMANDS["keys generate"].example;
  if (!isOn(signing) && !isOn(age)) {
    throw new UsageError("keys generate needs --signing, --age, or both", hint);
  }
  if (typeof out !== "string" || out === "") {
    throw new UsageError("keys generate needs --out, a directory", hint);
  }
  return { signing: isOn(signing), age: isOn(age), out };
}

function isOn(value: string | boolean | undefined): boolean {
  return value === true;
}

function parse(argv: readonly string[]): {
  readonly flags: Flags;
  readonly wantsHelp: boolean;
  readonly wantsVersion: boolean;
  readonly positionals: readonly string[];
} {
  const options = { ...FLAGS, ...COMMON_FLAGS };
  try {
    const { values, positionals } = parseArgs({ args: [...argv], allowPositionals: true, options });
    const { help = false, version = false, ...flags } = values;
    return { flags, wantsHelp: help, wantsVersion: version, positionals };
  } catch (error) {
    // Node goes on about operands that begin with a dash, which no command of ours takes.
    const [message = ""] = describeCause(error).split(/\. | \(ERR_/);
    const [, unknown = ""] = /^Unknown option '--([^']+)'/.exec(message) ?? [];
    throw new UsageError(`${message}${suggestion(unknown, Object.keys(options), "--")}`);
  }
}

/** `; did you mean --to?`, or nothing where nothing is close. */
function suggestion(word: string, names: readonly string[], before = ""): string {
  const closest = closestOf(word, names);
  const isClose = closest !== undefined && 2 * closest.distance < word.length;
  return isClose ? `; did you mean ${before}${closest.name}?` : "";
}

/** The command that is meant. `positionals` is not empty. */
function nameOf(positionals: readonly string[]): SpecName {
  const [command = "", action] = positionals;
  const name = SPEC_NAMES.find((each) => each === command || each === `${command} ${action}`);
  if (name !== undefined) return name;
  const actions = SPEC_NAMES.filter((each) => each.startsWith(`${command} `)).map((each) =>
    each.slice(command.length + 1),
  );
  if (actions.length === 0) {
    const commands = SPEC_NAMES.map(commandOf);
    throw new UsageError(`there is no command ${command}${suggestion(command, commands)}`);
  }
  const all = actions.join(", ");
  if (action === undefined) throw new UsageError(`${command} needs an action: ${all}`);
  throw new UsageError(`${command} has no action ${action}, only ${all}`);
}

function refuseForeignFlags(name: SpecName, flags: Flags): void {
  const { flags: own }: CommandSpec = COMMANDS[name];
  const foreign = (Object.keys(flags) as Flag[]).find((flag) => !own.includes(flag));
  if (foreign === undefined) return;
  const takers = takersOf(foreign).join(", ");
  throw new UsageError(
    `${name} has no flag --${foreign}, which is one of ${takers}`,
    usageOf(name),
  );
}

function refuseWrongOperands(name: SpecName, operands: readonly string[]): void {
  const { operands: wanted }: CommandSpec = COMMANDS[name];
  const { min, max } = wanted ?? { min: 0, max: 0 };
  if (operands.length >= min && operands.length <= max) return;
  const [first] = operands;
  if (name === commandOf(name) && SPEC_NAMES.some((each) => commandOf(each) === first)) {
    throw new UsageError(`one command at a time, not ${[name, ...operands].join(" ")}`);
  }
  const given = operands.length === 0 ? "nothing more" : operands.join(" ");
  throw new UsageError(`${name} cannot be run with ${given}`, usageOf(name));
}

function settingsOf(flags: Flags): Environment {
  const laid = Object.entries(flags).flatMap(([flag, value]) => {
    const { setting }: FlagSpec = FLAGS[flag as Flag];
    return setting === undefined ? [] : [[setting, value === true ? "on" : String(value)] as const];
  });
  return Object.fromEntries(laid);
}

function roleOf(settings: Settings): SpecName {
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

/** Of the command that is named, of all its actions, or of everything. */
function helpOf([command, action]: readonly string[]): string {
  const own = SPEC_NAMES.filter((name) => commandOf(name) === command);
  const [only] = own.filter((name) => name === command || name === `${command} ${action}`);
  if (only !== undefined) return commandHelp(only);
  return own.length === 0 ? generalHelp() : own.map(commandHelp).join("\n");
}
