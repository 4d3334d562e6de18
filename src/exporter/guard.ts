/** Keeps a config that lost much of what the current one has from taking its place, until somebody says that it may. */

import { type EntityCounts, isEntityKind } from "../kong/entity-counts.ts";
import type { Gate, GateAnswer } from "./gates.ts";

export type GuardPolicy = { readonly kind: "off" } | ({ readonly kind: "on" } & GuardLimits);

/** Percentages are whole numbers from 0, nothing may be lost, to 100: everything may. */
export interface GuardLimits {
  /** For each kind without a limit of its own, and for all entities together but those of kinds with a higher limit. */
  readonly maxShrinkPercent: number;
  readonly maxShrinkPercentByKind: ReadonlyMap<string, number>;
  /** A loss of fewer entities is never too much; only the last service and the last route always count. */
  readonly minShrinkCount: number;
}

export const GUARD_MAX_SHRINK_PERCENT = 50;
export const GUARD_MIN_SHRINK_COUNT = 10;

/** A config without any of these is what a control plane sends that has lost its database, or got a fresh one. */
const CORE_KINDS = ["services", "routes", "plugins", "consumers"];

/** Without routes a gateway answers nothing but 404, without services next to nothing else, however small it was. */
const VITAL_KINDS: ReadonlySet<string> = new Set(["services", "routes"]);

/**
 * Not watched unless the policy names them. The first two are Kong's own, a fresh control plane has
 * them too; rows of the others expire by themselves: https://developer.konghq.com/plugins/oauth2/
 * (authorization codes) and https://developer.konghq.com/plugins/acme/ (storage `kong`).
 */
const UNWATCHED_KINDS: ReadonlySet<string> = new Set([
  "workspaces",
  "parameters",
  "oauth2_authorization_codes",
  "acme_storage",
]);

/**
 * `off`, or limits in percent as `services=20,routes=30,*=50`: `*` is for all other kinds and for all
 * together, 50 where it is not given. A kind at 100 is not watched, but even `*=100` holds back an empty
 * config. `floor=3`: minShrinkCount, 10 where it is not given. Blanks around the parts are ignored.
 * Undefined for any other text.
 */
export function parseGuardPolicy(text: string): GuardPolicy | undefined {
  if (text.trim() === "off") return { kind: "off" };
  const limits = new Map<string, number>();
  let minShrinkCount: number | undefined;
  for (const part of text.split(",")) {
    const [, floor, kind = "", digits] =
      /^(?:floor=(\d{1,6})|([^=]+)=(\d{1,3}))$/.exec(part.trim()) ?? [];
    if (floor !== undefined) {
      if (minShrinkCount !== undefined) return undefined;
      minShrinkCount = Number(floor);
      continue;
    }
    const percent = Number(digits);
    const isLimit = (kind === "*" || isEntityKind(kind)) && percent <= 100;
    if (!isLimit || limits.has(kind)) return undefined;
    limits.set(kind, percent);
  }
  const maxShrinkPercent = limits.get("*") ?? GUARD_MAX_SHRINK_PERCENT;
  limits.delete("*");
  return {
    kind: "on",
    maxShrinkPercent,
    maxShrinkPercentByKind: limits,
    minShrinkCount: minShrinkCount ?? GUARD_MIN_SHRINK_COUNT,
  };
}

/**
 * Whether a config may take the place of the current one. Without a current one every config may. What
 * is held back: no services, routes, plugins and consumers where there were any; a kind that lost more
 * than its limit, and at least minShrinkCount entities; the last service or route gone, however few
 * there were, unless its limit is 100; all entities together, by the limit and the count for all.
 */
export function compareCounts(
  fresh: EntityCounts,
  current: EntityCounts | undefined,
  policy: GuardPolicy,
): GateAnswer {
  if (current === undefined || policy.kind === "off") return { kind: "pass" };
  const before = new Map(Object.entries(current));
  const after = new Map(Object.entries(fresh));
  const had = CORE_KINDS.filter((kind) => before.get(kind));
  if (had.length > 0 && !CORE_KINDS.some((kind) => after.get(kind))) {
    const lost = had.map((kind) => `${before.get(kind)} ${kind}`).join(", ");
    const reason = `no services, routes, plugins or consumers, where the current config has ${lost}`;
    return { kind: "held", reasons: [reason] };
  }
  const falls = [...before]
    .map(([kind, from]) => ({
      what: kind,
      from,
      to: after.get(kind) ?? 0,
      allowedPercent: limitOf(kind, policy),
    }))
    .toSorted((a, b) => b.from - b.to - (a.from - a.to) || (a.what < b.what ? -1 : 1));
  const all = {
    what: "all entities",
    from: total(before, policy),
    to: total(after, policy),
    allowedPercent: policy.maxShrinkPercent,
  };
  const reasons = [...falls, all].filter((fall) => isTooMuch(fall, policy)).map(describe);
  return reasons.length === 0 ? { kind: "pass" } : { kind: "held", reasons };
}

/** Measures a config by what lies in the store now, whoever saved it. With `off` nothing is counted. */
export function guardGate(policy: GuardPolicy): Gate {
  return {
    name: "guard",
    examine: async ({ config, currentCounts }) =>
      policy.kind === "off" || currentCounts === undefined
        ? { kind: "pass" }
        : compareCounts(config.counts, currentCounts, policy),
  };
}

interface Fall {
  readonly what: string;
  readonly from: number;
  readonly to: number;
  readonly allowedPercent: number;
}

function limitOf(kind: string, { maxShrinkPercent, maxShrinkPercentByKind }: GuardLimits): number {
  return maxShrinkPercentByKind.get(kind) ?? (UNWATCHED_KINDS.has(kind) ? 100 : maxShrinkPercent);
}

/** A kind that may lose more than all together must not make all together lose too much. */
function total(counts: ReadonlyMap<string, number>, limits: GuardLimits): number {
  let sum = 0;
  for (const [kind, count] of counts) {
    if (limitOf(kind, limits) <= limits.maxShrinkPercent) sum += count;
  }
  return sum;
}

function isTooMuch({ what, from, to, allowedPercent }: Fall, limits: GuardLimits): boolean {
  const isLastVital = to === 0 && VITAL_KINDS.has(what);
  const minCount = isLastVital ? 1 : limits.minShrinkCount;
  return from - to >= minCount && (from - to) * 100 > allowedPercent * from;
}

/** Rounded up to a tenth, so that a loss beyond the limit never reads like the limit. */
function describe({ what, from, to, allowedPercent }: Fall): string {
  const lostPercent = Math.ceil(((from - to) * 1000) / from) / 10;
  return `${what} fell from ${from} to ${to} (-${lostPercent} %, allowed ${allowedPercent} %)`;
}
