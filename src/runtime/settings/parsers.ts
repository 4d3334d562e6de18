/** What a setting's text may be, and what is made of it. */

import type env from "env-var";
import { ServiceError, withHint } from "../../core/errors.ts";
import { type HostPort, parseHostPort } from "../../core/host-port.ts";
import { Secret } from "../../core/secret.ts";
import { type KongVersion, parseKongVersion } from "../../kong/version.ts";

type Variable = ReturnType<ReturnType<ReturnType<typeof env.from>["get"]>["default"]>;

/** Throws EnvVarError or UnfitError where the variable cannot be one. */
export type Parser<T> = (variable: Variable) => T;

/** Why a text cannot be what the setting wants. The message never repeats the text: it may be a secret. */
export class UnfitError extends Error {}

export const text: Parser<string> = (variable) => variable.asString();

export const secret: Parser<Secret> = (variable) => new Secret(variable.asString());

/** A secret that travels in an HTTP header. */
export const token: Parser<Secret> = (variable) => {
  const value = variable.asString();
  if (/^[\x20-\x7e]+$/.test(value)) return new Secret(value);
  throw new UnfitError("must be one line of printable ASCII characters");
};

/** As Kong takes them: Kong/kong@3.9.1 kong/conf_loader/parse.lua. What it would silently take for `off`, such as `yes`, is refused. */
export const onOff: Parser<boolean> = (variable) => {
  const value = variable.asString();
  if (value === "on" || value === "true") return true;
  if (value === "off" || value === "false") return false;
  throw new UnfitError("must be on or off, or true or false");
};

export function oneOf<const T extends string>(...values: readonly T[]): Parser<T> {
  return (variable) => variable.asEnum([...values]);
}

/** A whole number. */
export function integer(min: number, max: number): Parser<number> {
  return (variable) => {
    const value = variable.asInt();
    if (value >= min && value <= max) return value;
    throw new UnfitError(`must be a whole number from ${min} to ${max}`);
  };
}

/** A whole number of days, as milliseconds. */
export function days(min: number, max: number): Parser<number> {
  const parse = integer(min, max);
  return (variable) => parse(variable) * 86_400_000;
}

/** Seconds, fractions allowed, as milliseconds. */
export function seconds(min: number, max: number): Parser<number> {
  return (variable) => {
    const value = variable.asFloat();
    if (value >= min && value <= max) return Math.round(value * 1000);
    throw new UnfitError(`must be a number of seconds from ${min} to ${max}`);
  };
}

/** What `parse` makes of the text. It returns undefined for one that is not `expected`, or throws a ServiceError that says more. */
export function parsed<T>(expected: string, parse: (text: string) => T | undefined): Parser<T> {
  return (variable) => {
    const value = valueOrFault(() => parse(variable.asString()));
    if (value !== undefined) return value;
    throw new UnfitError(`must be ${expected}`);
  };
}

function valueOrFault<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    throw new UnfitError(withHint(error));
  }
}

/** A port to connect to: 0 is none. */
export const peer: Parser<HostPort> = parsed("host:port", (address) => {
  const value = parseHostPort(address);
  return value?.port === 0 ? undefined : value;
});

export const listen: Parser<HostPort> = parsed("host:port", parseHostPort);

/** `off` is undefined. */
export const listenOrOff: Parser<HostPort | undefined> = (variable) =>
  variable.asString() === "off" ? undefined : parsed("host:port, or off", parseHostPort)(variable);

export const hostName: Parser<string> = parsed("a host name", (name) =>
  /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,252})$/.test(name) ? name : undefined,
);

/** What `parseHttpUrl` wants. */
export const HTTP_URL = "a URL like http://host:port, without credentials";

/** Without slashes at its end. */
export function parseHttpUrl(address: string): string | undefined {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  // Query and fragment are where signed URLs carry their secret.
  const isPlain = url?.username === "" && url.password === "" && !/[?#]/.test(address);
  return isPlain && /^https?:$/.test(url.protocol) ? address.replace(/\/+$/, "") : undefined;
}

export const httpUrl: Parser<string> = parsed(HTTP_URL, parseHttpUrl);

/** As Google's own libraries take it: without a scheme it is http. */
export const emulatorUrl: Parser<string> = parsed(
  "host:port, or a URL like http://host:port, without credentials",
  (address) => parseHttpUrl(address.includes("://") ? address : `http://${address}`),
);

/** What Kong's images have behind the version in their tags, and no Kong says of itself. https://hub.docker.com/_/kong */
const IMAGE_SUFFIX = /-(?:alpine|ubuntu|debian|rhel|amazonlinux|centos)[a-z0-9.-]*$/;

export const versions: Parser<readonly KongVersion[]> = parsed(
  "full versions like 3.9.1, comma-separated",
  (list) => {
    const found = list
      .split(",")
      .map((part) => parseKongVersion(part.trim().replace(IMAGE_SUFFIX, "")));
    return found.every((version) => version !== undefined) ? [...new Set(found)] : undefined;
  },
);

/** Whatever stands between commas. */
export const list: Parser<readonly string[]> = (variable) =>
  variable
    .asString()
    .split(",")
    .map((item: string) => item.trim())
    .filter((item: string) => item !== "");

/** Names as written. */
export const names: Parser<readonly string[]> = parsed(
  "a comma-separated list of names",
  (list) => {
    const found = list.split(",").map((name) => name.trim());
    return found.every((name) => /^[A-Za-z0-9._-]{1,128}$/.test(name)) ? found : undefined;
  },
);

/** Kong/kong@3.9.1 kong/conf_loader/parse.lua: each label 63 characters at most, letters, digits, `.`, `-`, `_`. */
export const labels: Parser<Readonly<Record<string, string>>> = parsed(
  "a list like key:value,key:value",
  (list) => {
    const pairs = list.split(",").map((pair) => /^\s*([\w.-]{1,63}):([\w.-]{1,63})\s*$/.exec(pair));
    const entries = pairs.map((match) => [match?.[1] ?? "", match?.[2] ?? ""] as const);
    return pairs.every((match) => match !== null) ? Object.fromEntries(entries) : undefined;
  },
);

export const jsonObject: Parser<Readonly<Record<string, unknown>>> = parsed(
  "a JSON object",
  (json) => {
    try {
      const value: unknown = JSON.parse(json);
      const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
      return isObject ? { ...value } : undefined;
    } catch {
      // The parser's message quotes the text.
      return undefined;
    }
  },
);

export const fileMode: Parser<number> = parsed("octal permissions like 0640", (digits) =>
  /^0?[0-7]{3}$/.test(digits) ? Number.parseInt(digits, 8) : undefined,
);

/** How a Kubernetes object's name may begin, with room for a version behind it. RFC 1123 */
export const electionId: Parser<string> = parsed(
  "lower-case letters, digits, - and ., 200 at most",
  (id) => (id.length <= 200 && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(id) ? id : undefined),
);

/** RFC 1123 label, as a namespace's name is one. */
export const namespace: Parser<string> = parsed("a namespace", (name) =>
  /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name) ? name : undefined,
);

/** One URL, or one for each version. */
export type UrlPerVersion = string | ReadonlyMap<KongVersion, string>;

export const urlPerVersion: Parser<UrlPerVersion> = parsed(
  "a URL like http://host:port, without credentials, or a list like 3.8.1=URL,3.9.1=URL",
  (list) => {
    if (!/^\s*\d[^=/]*=/.test(list)) return parseHttpUrl(list);
    const urls = new Map<KongVersion, string>();
    for (const part of list.split(",")) {
      const [, versionText = "", urlText = ""] = /^\s*([^=]+)=(\S+)\s*$/.exec(part) ?? [];
      const version = parseKongVersion(versionText);
      const url = parseHttpUrl(urlText);
      if (version === undefined || url === undefined || urls.has(version)) return undefined;
      urls.set(version, url);
    }
    return urls;
  },
);
