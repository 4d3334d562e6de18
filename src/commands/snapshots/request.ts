/** What comes after `kong-fallback snapshots`: the action, what it is done to, and the flags it takes. */

import { UsageError } from "../usage-error.ts";

export type SnapshotsRequest =
  | { readonly kind: "list"; readonly all: boolean; readonly allVersions: boolean }
  | { readonly kind: "show"; readonly which: string; readonly config: boolean }
  | { readonly kind: "diff"; readonly from: string; readonly to: string }
  | { readonly kind: "verify"; readonly allVersions: boolean; readonly deep: boolean }
  | {
      readonly kind: "restore";
      readonly id: string;
      readonly takeOver: boolean;
      readonly yes: boolean;
    }
  | { readonly kind: "prune"; readonly dryRun: boolean };

/** As parseArgs wants them; each belongs to the actions named in ACTIONS and to no other command. */
export const SNAPSHOTS_FLAGS = {
  all: { type: "boolean" },
  "all-versions": { type: "boolean" },
  config: { type: "boolean" },
  deep: { type: "boolean" },
  "dry-run": { type: "boolean" },
  "take-over": { type: "boolean" },
  yes: { type: "boolean" },
} as const;
type Flag = keyof typeof SNAPSHOTS_FLAGS;
type Flags = { readonly [Name in Flag]?: boolean | undefined };

interface Action {
  readonly flags: readonly Flag[];
  readonly usage: string;
  /** Undefined where the operands do not fit. */
  readonly parse: (operands: readonly string[], flags: Flags) => SnapshotsRequest | undefined;
}

const ACTIONS: Readonly<Record<SnapshotsRequest["kind"], Action>> = {
  list: {
    flags: ["all", "all-versions"],
    usage: "list [--all] [--all-versions]",
    parse: (operands, flags) =>
      operands.length > 0
        ? undefined
        : { kind: "list", all: flags.all === true, allVersions: flags["all-versions"] === true },
  },
  show: {
    flags: ["config"],
    usage: "show [ID|current] [--config]",
    parse: ([which = "current", ...more], { config = false }) =>
      more.length > 0 ? undefined : { kind: "show", which, config },
  },
  diff: {
    flags: [],
    usage: "diff A B, each an ID, current, or the path of a file",
    parse: ([from, to, ...more]) =>
      from === undefined || to === undefined || more.length > 0
        ? undefined
        : { kind: "diff", from, to },
  },
  verify: {
    flags: ["all-versions", "deep"],
    usage: "verify [--deep] [--all-versions]",
    parse: (operands, flags) =>
      operands.length > 0
        ? undefined
        : {
            kind: "verify",
            allVersions: flags["all-versions"] === true,
            deep: flags.deep === true,
          },
  },
  restore: {
    flags: ["take-over", "yes"],
    usage: "restore ID [--take-over] [--yes]",
    parse: ([id, ...more], flags) =>
      id === undefined || more.length > 0
        ? undefined
        : {
            kind: "restore",
            id,
            takeOver: flags["take-over"] === true,
            yes: flags.yes === true,
          },
  },
  prune: {
    flags: ["dry-run"],
    usage: "prune [--dry-run]",
    parse: (operands, flags) =>
      operands.length > 0 ? undefined : { kind: "prune", dryRun: flags["dry-run"] === true },
  },
};

/**
 * Throws UsageError. A flag of another action is refused, never ignored: `restore --dry-run` must not
 * restore.
 */
export function parseSnapshotsRequest(
  [name, ...operands]: readonly string[],
  flags: Flags,
): SnapshotsRequest {
  const names = Object.keys(ACTIONS).join(", ");
  if (name === undefined) throw new UsageError(`snapshots needs an action: ${names}`);
  if (!isAction(name)) throw new UsageError(`snapshots has no action ${name}, only ${names}`);
  const action = ACTIONS[name];
  const hint = `kong-fallback snapshots ${action.usage}`;
  const foreign = givenFlags(flags).find((flag) => !action.flags.includes(flag));
  if (foreign !== undefined)
    throw new UsageError(`snapshots ${name} has no flag --${foreign}`, hint);
  const request = action.parse(operands, flags);
  if (request !== undefined) return request;
  const given = operands.length === 0 ? "nothing more" : operands.join(" ");
  throw new UsageError(`snapshots ${name} cannot be run with ${given}`, hint);
}

/** Throws UsageError where a flag was given that only `snapshots` has. */
export function refuseSnapshotsFlags(flags: Flags): void {
  const [flag] = givenFlags(flags);
  if (flag !== undefined) throw new UsageError(`--${flag} is a flag of snapshots only`);
}

function givenFlags(flags: Flags): readonly Flag[] {
  return NAMES.filter((name) => flags[name] === true);
}

const NAMES: readonly Flag[] = [
  "all",
  "all-versions",
  "config",
  "deep",
  "dry-run",
  "take-over",
  "yes",
];

function isAction(name: string): name is SnapshotsRequest["kind"] {
  return Object.hasOwn(ACTIONS, name);
}
