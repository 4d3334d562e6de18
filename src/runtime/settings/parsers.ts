/** What a setting's text may look like: each gives the value, or undefined for a text that it cannot be. */

import { type HostPort, parseHostPort } from "../../core/host-port.ts";
import { type KongVersion, parseKongVersion } from "../../kong/version.ts";

/** What parseHttpUrl wants. */
export const HTTP_URL = "a URL like http://host:port, without credentials";

/** A port to connect to: 0 is none. */
export function parsePeer(text: string): HostPort | undefined {
  const peer = parseHostPort(text);
  return peer === undefined || peer.port === 0 ? undefined : peer;
}

export function parseHostName(text: string): string | undefined {
  return /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,252})$/.test(text) ? text : undefined;
}

export function parseHttpUrl(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // Query and fragment are where signed URLs carry their secret.
  const isPlain =
    url?.username === "" && url.password === "" && url.search === "" && url.hash === "";
  return isPlain && /^https?:$/.test(url.protocol) ? text.replace(/\/+$/, "") : undefined;
}

export function parseVersions(text: string): readonly KongVersion[] | undefined {
  const versions = text.split(",").map((part) => parseKongVersion(part.trim()));
  return versions.every((version) => version !== undefined) ? [...new Set(versions)] : undefined;
}

export function parseNames(text: string): readonly string[] | undefined {
  const names = text.split(",").map((name) => name.trim());
  return names.every((name) => /^[A-Za-z0-9._-]{1,128}$/.test(name)) ? names : undefined;
}

/** Kong/kong@3.9.1 kong/conf_loader/parse.lua: each label 63 characters at most, letters, digits, `.`, `-`, `_`. */
export function parseLabels(text: string): Readonly<Record<string, string>> | undefined {
  const pairs = text.split(",").map((pair) => /^\s*([\w.-]{1,63}):([\w.-]{1,63})\s*$/.exec(pair));
  const entries = pairs.map((match) => [match?.[1] ?? "", match?.[2] ?? ""] as const);
  return pairs.every((match) => match !== null) ? Object.fromEntries(entries) : undefined;
}

export function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? { ...value } : undefined;
  } catch {
    // The parser's message quotes the text; the caller says what was expected.
    return undefined;
  }
}

export function parseMode(text: string): number | undefined {
  return /^0?[0-7]{3}$/.test(text) ? Number.parseInt(text, 8) : undefined;
}

/** A name of a Kubernetes object with room for a version behind it. RFC 1123 */
export function parseElectionId(text: string): string | undefined {
  return text.length <= 200 && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(text) ? text : undefined;
}

/** RFC 1123 label, as a namespace's name is one. */
export function parseNamespace(text: string): string | undefined {
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text) ? text : undefined;
}
