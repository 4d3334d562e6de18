/** What `--help` prints, made of the specs of the commands and the table of the settings. */

import { SETTINGS, type Setting } from "../runtime/settings/table.ts";
import {
  COMMANDS,
  COMMON_FLAGS,
  type CommandSpec,
  commandOf,
  FLAGS,
  type Flag,
  type FlagSpec,
  flagText,
  SPEC_NAMES,
  type SpecName,
  usageOf,
} from "./specs.ts";
import { formatList, wrap } from "./text.ts";

const EXIT_STATUSES =
  "Exit status: 0 done, 1 unexpected, 2 usage or settings, 3 no usable snapshot, 4 store, target or control plane unavailable, 130 and 143 stopped by a signal.";

/** All commands, and all their flags. */
export function generalHelp(): string {
  const commands = SPEC_NAMES.map((name): [string, string] => {
    const { operands, summary }: CommandSpec = COMMANDS[name];
    return [operands === undefined ? name : `${name} ${operands.usage}`, summary];
  });
  return [
    "kong-fallback: data planes that start while Kong's control plane is down\n",
    "Usage: kong-fallback [command] [flags]\n",
    section("Commands", commands),
    `${wrap("Without a command, KONG_CLUSTER_FALLBACK_CONFIG_EXPORT=on means export and KONG_CLUSTER_FALLBACK_CONFIG_IMPORT=on means import.", "")}\n`,
    ...flagGroups().map(([title, flags]) => section(title, flags.map(flagRow))),
    section("Flags of all", Object.entries(COMMON_FLAGS).map(row)),
    `${wrap(`Everything else is set by environment variables, Kong's own where Kong has one: README.md has the table, and kong-fallback COMMAND --help those of a command. ${EXIT_STATUSES}`, "")}\n`,
  ].join("\n");
}

/** One command, with the settings that say something to it. */
export function commandHelp(name: SpecName): string {
  const { summary, flags, example, exitStatus }: CommandSpec = COMMANDS[name];
  const settings = Object.entries<Setting>(SETTINGS)
    .filter(([, { readBy }]) => readBy.includes(commandOf(name)))
    .map(([setting, { meaning, default: value }]): [string, string] => {
      const plain = meaning.replaceAll("`", "");
      return [setting, value === undefined ? plain : `${plain} Default: ${value}`];
    });
  return [
    `${wrap(`kong-fallback ${name}: ${summary}`, "")}\n`,
    `${wrap(`Usage: ${usageOf(name)}`, "")}\n`,
    section("Flags", [...flags.map(flagRow), ...Object.entries(COMMON_FLAGS).map(row)]),
    `Example\n  ${example}\n`,
    section("Settings", settings),
    `${exitStatus === undefined ? "" : `${wrap(exitStatus, "")}\n`}${wrap(EXIT_STATUSES, "")}\n`,
  ].join("\n");
}

/** Flags that the same commands take stand together. */
function flagGroups(): readonly (readonly [title: string, flags: readonly Flag[]])[] {
  const groups = new Map<string, Flag[]>();
  for (const flag of Object.keys(FLAGS) as Flag[]) {
    const title = `Flags of ${takersOf(flag).join(", ")}`;
    groups.set(title, [...(groups.get(title) ?? []), flag]);
  }
  return [...groups];
}

/** The commands that take a flag; those whose every action does by their first word alone. */
export function takersOf(flag: Flag): readonly string[] {
  const takes = (name: SpecName) => (COMMANDS[name] as CommandSpec).flags.includes(flag);
  const takers = SPEC_NAMES.filter(takes).map((name) => {
    const siblings = SPEC_NAMES.filter((other) => commandOf(other) === commandOf(name));
    return siblings.length > 1 && siblings.every(takes) ? commandOf(name) : name;
  });
  return [...new Set(takers)];
}

function flagRow(flag: Flag): [string, string] {
  return row([flag, FLAGS[flag]]);
}

function row([name, spec]: readonly [string, FlagSpec]): [string, string] {
  return [flagText(name, spec), spec.help];
}

function section(title: string, rows: readonly (readonly [string, string])[]): string {
  return `${title}\n${formatList(rows.map(([name, text]) => [`  ${name}`, text]))}`;
}
