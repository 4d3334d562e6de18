/** Names in the environment that look like settings and are none: a misspelt setting must not open a door. */

import { isIP } from "node:net";
import { type Closest, closestOf, editDistance } from "../../core/edit-distance.ts";
import { SETTINGS, type SettingName } from "./table.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export interface UnknownName {
  readonly name: string;
  /** Whose prefix it bears: in our own space there is nothing else, Kong's may grow. */
  readonly space: "ours" | "kong";
  /** What was probably meant. */
  readonly meant: SettingName | undefined;
}

const OUR_PREFIX = "KONG_FALLBACK_";
const KONG_PREFIX = "KONG_CLUSTER_FALLBACK_";

const PREFIXES = [OUR_PREFIX, KONG_PREFIX];

/** A name so many letters away from a setting is taken for it. */
const MAX_SLIPS = 2;

/** Of these a slip of the pen is noticed. */
const GUARDED = (Object.keys(SETTINGS) as SettingName[]).filter((name) =>
  PREFIXES.some((prefix) => name.startsWith(prefix)),
);

/** Of deploy/start-wrapper, which may share its environment with us. */
const START_WRAPPER = ["KONG_FALLBACK_FILE", "KONG_FALLBACK_ENTRYPOINT"];

/**
 * Every name that bears one of the two prefixes, in whatever case, or is two letters away from a
 * setting that does. Values do not matter, empty ones neither, but for telling what Kubernetes injects.
 */
export function unknownNames(source: Environment): readonly UnknownName[] {
  return Object.entries(source).flatMap(([name, value]): readonly UnknownName[] => {
    if (value === undefined || Object.hasOwn(SETTINGS, name)) return [];
    if (START_WRAPPER.includes(name) || isServiceLink(name, value)) return [];
    const folded = name.toUpperCase().replaceAll("-", "_");
    if (!PREFIXES.some((prefix) => isNear(folded, prefix))) return [];
    const closest = closestOf(folded, GUARDED);
    const space =
      spaceOf(folded) ??
      (closest && closest.distance <= MAX_SLIPS ? spaceOf(closest.name) : undefined);
    if (space === undefined) return [];
    const longer = GUARDED.find((known) => known.startsWith(`${folded}_`));
    const meant = longer ?? (closest && isPlausible(folded, closest) ? closest.name : undefined);
    return [{ name, space, meant }];
  });
}

function isNear(name: string, prefix: string): boolean {
  return editDistance(name.slice(0, prefix.length), prefix) <= MAX_SLIPS;
}

function spaceOf(name: string): UnknownName["space"] | undefined {
  if (name.startsWith(OUR_PREFIX)) return "ours";
  return name.startsWith(KONG_PREFIX) ? "kong" : undefined;
}

/** Whether at least half of what follows the prefix is the same. */
function isPlausible(name: string, { name: known, distance }: Closest<SettingName>): boolean {
  const prefix = known.startsWith(OUR_PREFIX) ? OUR_PREFIX : KONG_PREFIX;
  return 2 * distance <= Math.max(name.length, known.length) - prefix.length;
}

const isAddress = (value: string) => isIP(value) !== 0;
const isPort = (value: string) => /^\d{1,5}$/.test(value);
const isProtocol = (value: string) => /^(tcp|udp|sctp)$/.test(value);
const isPortUrl = (value: string) => /^(tcp|udp|sctp):\/\/\S+:\d{1,5}$/.test(value);

/**
 * What follows a Service's name, and what its value must be. https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
 * and, for all but the first two, https://docs.docker.com/engine/network/links/#environment-variables
 */
const LINK_FORMS: readonly (readonly [RegExp, (value: string) => boolean])[] = [
  [/_SERVICE_HOST$/, isAddress],
  [/_SERVICE_PORT(_[A-Z0-9_]+)?$/, isPort],
  [/_PORT(_\d+_(TCP|UDP|SCTP))?$/, isPortUrl],
  [/_PORT_\d+_(TCP|UDP|SCTP)_PROTO$/, isProtocol],
  [/_PORT_\d+_(TCP|UDP|SCTP)_PORT$/, isPort],
  [/_PORT_\d+_(TCP|UDP|SCTP)_ADDR$/, isAddress],
];

/**
 * Kubernetes puts the address of every Service into every pod of its namespace, and Docker that of a
 * linked container, so one that is called `kong-fallback-status` looks like settings. No setting ends
 * like that, and a slip of the pen has no such value.
 */
function isServiceLink(name: string, value: string): boolean {
  return LINK_FORMS.some(([form, fits]) => form.test(name) && fits(value));
}
