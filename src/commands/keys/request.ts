/** What comes after `kong-fallback keys`: the action and its flags. */

import { UsageError } from "../usage-error.ts";

export interface KeysRequest {
  readonly kind: "generate";
  /** At least one of the two. */
  readonly signing: boolean;
  readonly age: boolean;
  /** The directory for the files. */
  readonly out: string;
}

/** As parseArgs wants them. */
export const KEYS_FLAGS = {
  signing: { type: "boolean" },
  age: { type: "boolean" },
  out: { type: "string" },
} as const;
type Flags = {
  readonly signing?: boolean | undefined;
  readonly age?: boolean | undefined;
  readonly out?: string | undefined;
};

const HINT = "kong-fallback keys generate --signing --age --out DIR";

/** Throws UsageError. */
export function parseKeysRequest(
  [action, ...operands]: readonly string[],
  { signing = false, age = false, out = "" }: Flags,
): KeysRequest {
  if (action === undefined) throw new UsageError("keys needs an action: generate", HINT);
  if (action !== "generate") {
    throw new UsageError(`keys has no action ${action}, only generate`, HINT);
  }
  if (operands.length > 0) {
    throw new UsageError(`keys generate cannot be run with ${operands.join(" ")}`, HINT);
  }
  if (!signing && !age) {
    throw new UsageError("keys generate needs --signing, --age, or both", HINT);
  }
  if (out === "") throw new UsageError("keys generate needs --out, a directory", HINT);
  return { kind: "generate", signing, age, out };
}

/** Throws UsageError where a flag was given that only `keys` has. */
export function refuseKeysFlags({ signing, age, out }: Flags): void {
  const given = Object.entries({ signing, age, out }).find(([, value]) => value !== undefined);
  if (given !== undefined) throw new UsageError(`--${given[0]} is a flag of keys only`);
}
