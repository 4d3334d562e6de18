/** The commands as a person sees them: what each is called with, an example, and what its exit status says. */

import type { CommandName, SettingName } from "../runtime/settings/table.ts";

export interface FlagSpec {
  readonly type: "boolean" | "string";
  readonly short?: string;
  /** How the help names its value. */
  readonly value?: string;
  readonly help: string;
  /** The setting that it is another way to give; a boolean flag turns it `on`. */
  readonly setting?: SettingName;
}

/** A flag means the same wherever it is taken. */
export const FLAGS = {
  to: {
    type: "string",
    value: "TARGET",
    help: "file:/path, - (standard output), or the URL of an Admin API",
    setting: "KONG_FALLBACK_IMPORT_TO",
  },
  force: {
    type: "boolean",
    help: "do not ask whether the control plane lives",
    setting: "KONG_FALLBACK_FORCE",
  },
  adapt: {
    type: "boolean",
    help: "take out what a DB-less open-source Kong refuses, and list it",
    setting: "KONG_FALLBACK_ADAPT",
  },
  probe: {
    type: "string",
    value: "handshake|config",
    help: "when the control plane counts as alive",
    setting: "KONG_FALLBACK_PROBE",
  },
  "probe-timeout": {
    type: "string",
    value: "SECONDS",
    help: "how long the control plane is tried",
    setting: "KONG_FALLBACK_PROBE_TIMEOUT",
  },
  "prefix-dir": {
    type: "string",
    value: "DIR",
    help: "the data plane's prefix, for Kong's own cache",
    setting: "KONG_FALLBACK_PREFIX_DIR",
  },
  target: {
    type: "string",
    value: "planes|admin|URL",
    help: "data planes (default), or the Admin API of a DB-less Kong",
    setting: "KONG_FALLBACK_SERVE_TARGET",
  },
  "kong-version": {
    type: "string",
    value: "VERSION",
    help: "in place of KONG_VERSION",
    setting: "KONG_VERSION",
  },
  storage: {
    type: "string",
    value: "URL",
    help: "in place of KONG_CLUSTER_FALLBACK_CONFIG_STORAGE",
    setting: "KONG_CLUSTER_FALLBACK_CONFIG_STORAGE",
  },
  all: { type: "boolean", help: "all, not only the newest 20" },
  "all-versions": { type: "boolean", help: "every Kong version that is saved" },
  config: {
    type: "boolean",
    help: "print its bytes, which hold every secret of the configuration",
  },
  deep: { type: "boolean", help: "also look for what would make Kong refuse it" },
  "take-over": { type: "boolean", help: "take the lease from the exporter that holds it" },
  yes: { type: "boolean", help: "do not ask before anything is replaced" },
  "dry-run": { type: "boolean", help: "only say what would be removed" },
  signing: { type: "boolean", help: "a pair that signs and verifies: signing.key, signing.pub" },
  age: { type: "boolean", help: "a pair that encrypts and decrypts: age.key, age.pub" },
  out: {
    type: "string",
    value: "DIR",
    help: "where the keys are put; nothing there is overwritten",
  },
  json: { type: "boolean", help: "the result as JSON on standard output" },
} as const satisfies Record<string, FlagSpec>;
export type Flag = keyof typeof FLAGS;

/** Of every command; each prints something in place of running it. */
export const COMMON_FLAGS = {
  help: {
    type: "boolean",
    short: "h",
    help: "this text; behind a command what there is to know about it",
  },
  version: { type: "boolean", short: "v", help: "the version of kong-fallback" },
} as const satisfies Record<string, FlagSpec>;

export interface CommandSpec {
  readonly summary: string;
  /** As the usage shows them; none where it is absent. */
  readonly operands?: { readonly usage: string; readonly min: number; readonly max: number };
  readonly flags: readonly Flag[];
  readonly example: string;
  /** Where it says more than the help of all does. */
  readonly exitStatus?: string;
}

/** By which settings a store is found. */
const WHERE = ["kong-version", "storage"] as const;

/** `command`, or `command action`. */
export const COMMANDS = {
  export: {
    summary: "follow the control plane and save each config; runs until stopped",
    flags: WHERE,
    example: "kong-fallback export",
    exitStatus: "143 and 130: stopped, with everything saved. 1: stopped, and the newest is not.",
  },
  import: {
    summary: "if the control plane is unreachable, hand the saved config to a new data plane",
    flags: [
      ...["to", "force", "adapt", "probe", "probe-timeout", "prefix-dir"],
      ...WHERE,
      "json",
    ] as readonly Flag[],
    example: "kong-fallback import --to file:/kong-fallback/kong.json",
    exitStatus:
      "0: imported, or not needed. 3: nothing usable is saved. 4: a store or target fails.",
  },
  serve: {
    summary: "give data planes the live config, or the saved one without it; runs until stopped",
    flags: ["target", ...WHERE],
    example: "kong-fallback serve",
  },
  status: {
    summary:
      "whether a new data plane gets a config, and which: how old it is, how it compares with what the control plane has now: begin here when something is wrong",
    flags: [...WHERE, "probe-timeout", "json"],
    example: "kong-fallback status --kong-version 3.9.1",
    exitStatus: "0: it gets one. 3: it gets none. 4: it gets none, and a store fails.",
  },
  "snapshots list": {
    summary: "the saved configs, the newest first",
    flags: ["all", "all-versions", ...WHERE, "json"],
    example: "kong-fallback snapshots list --all",
  },
  "snapshots show": {
    summary: "all that is known about one; ID is what list shows",
    operands: { usage: "[ID|current]", min: 0, max: 1 },
    flags: ["config", ...WHERE, "json"],
    example: "kong-fallback snapshots show current",
  },
  "snapshots diff": {
    summary:
      "entities and fields that differ, secrets masked; A and B are IDs, current, or paths of files",
    operands: { usage: "A B", min: 2, max: 2 },
    flags: [...WHERE, "json"],
    example: "kong-fallback snapshots diff current kong.json",
    exitStatus: "0: no difference. 1: some.",
  },
  "snapshots verify": {
    summary: "read every object and check it",
    flags: ["deep", "all-versions", ...WHERE, "json"],
    example: "kong-fallback snapshots verify --deep",
    exitStatus: "0: all good. 3: at least one is bad. 4: none is, but one could not be read.",
  },
  "snapshots restore": {
    summary: "make one of the history the current one, after asking",
    operands: { usage: "ID", min: 1, max: 1 },
    flags: ["yes", "take-over", ...WHERE, "json"],
    example: "kong-fallback snapshots restore 20261121T120000.000Z-0123456789abcdef",
  },
  "snapshots prune": {
    summary: "remove from the history what is beyond its limits",
    flags: ["dry-run", ...WHERE, "json"],
    example: "kong-fallback snapshots prune --dry-run",
    exitStatus: "0: done. 4: something could not be listed or removed.",
  },
  "keys generate": {
    summary: "make the keys that sign and encrypt what is saved",
    flags: ["signing", "age", "out", "json"],
    example: "kong-fallback keys generate --signing --age --out /keys",
  },
  demo: {
    summary: "the whole story on this machine, without Kong, cloud or Docker",
    flags: ["json"],
    example: "kong-fallback demo",
    exitStatus: "0: every promise held. 1: one was broken.",
  },
} as const satisfies Record<string, CommandSpec>;
export type SpecName = keyof typeof COMMANDS;
export const SPEC_NAMES = Object.keys(COMMANDS) as SpecName[];

/** `kong-fallback snapshots show [ID|current] [--config] ...` */
export function usageOf(name: SpecName): string {
  const { operands, flags }: CommandSpec = COMMANDS[name];
  const shown = flags.map((flag) => `[${flagText(flag, FLAGS[flag])}]`);
  return ["kong-fallback", name, ...(operands ? [operands.usage] : []), ...shown].join(" ");
}

/** `--to TARGET`, `--help, -h`. */
export function flagText(name: string, { value, short }: FlagSpec): string {
  return `--${name}${value === undefined ? "" : ` ${value}`}${short === undefined ? "" : `, -${short}`}`;
}

/** By which the settings' table names who reads them. */
export function commandOf(name: SpecName): CommandName {
  return name.split(" ")[0] as CommandName;
}
