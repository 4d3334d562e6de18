/** What of a config may be shown to a person: names and plain settings, nothing that is, or may be, a secret. */

import { isArray, type Json, type JsonObject } from "../json-members.ts";

/** Stands in place of what is not shown; it tells neither length nor beginning. */
export const HIDDEN = "[hidden]";

/**
 * Kinds whose fields are plain but for the rules below, and the fields of theirs that are not. Of every
 * other kind (credentials, tokens, licenses, custom plugins' own entities) only the references are shown.
 */
const PLAIN_KINDS: ReadonlyMap<string, readonly string[]> = new Map([
  ["_format_version", []],
  ["_transform", []],
  ["acls", []],
  ["ca_certificates", []],
  ["certificates", []],
  ["consumer_group_consumers", []],
  ["consumer_groups", []],
  ["consumers", []],
  // Their configurations are text that only the filter can read.
  ["filter_chains", ["filters"]],
  ["key_sets", []],
  ["keys", []],
  ["plugins", []],
  ["routes", []],
  ["services", []],
  ["snis", []],
  ["targets", []],
  ["upstreams", []],
  // A vault's configuration holds what it is opened with.
  ["vaults", ["config"]],
  ["workspaces", ["config", "meta"]],
]);

const SECRET_NAME =
  /pass|pwd|secret|token|key|credential|auth|cookie|session|private|pem|jw[kt]|salt|signature|bearer|license|header|query|body|dsn|client_id/i;
/** They say how something is called, or which field of a request is looked at. */
const HARMLESS_NAME = /^(hash_(on|fallback).*|key_set|keys_per_.*)$|(^|_)names?$/;
/** Code, which may hold anything. Kong/kong@3.9.1 kong/plugins/pre-function/_handler.lua */
const CODE_NAME =
  /^(functions|certificate|rewrite|access|header_filter|body_filter|log|configure|ws_\w+)$/;

const VAULT_REFERENCE = /^\{vault:\/\/[^{}]*\}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const SECRET_TEXTS: readonly RegExp[] = [
  /-----BEGIN /,
  /\b(bearer|basic|digest) +\S/i,
  /\beyJ[\w-]{8,}/,
  // A password before a host's name, with a scheme or without.
  /[:/]\S*@/,
  // `x-api-key:1234`, `token=1234`.
  /(pass|pwd|secret|token|key|auth|credential)[\w-]*\s*[:=]\s*\S/i,
];
/** Of a plugin's configuration: long, and made of letters and digits, as keys are. */
const KEY_LIKE = /^(?=.*\d)(?=.*[a-z])[\w+/=-]{20,}$/i;
const MAX_SHOWN_CHARACTERS = 200;

/** Whether it is a kind of which more than the references may be shown. */
export function isPlainKind(kind: string): boolean {
  return PLAIN_KINDS.has(kind);
}

/** Whether the member at `path` of an entity is hidden by its name, with all it holds. */
export function isHiddenName(kind: string, path: readonly string[]): boolean {
  const [field = "", ...below] = path;
  const hidden = PLAIN_KINDS.get(kind);
  if (hidden === undefined || hidden.includes(field)) return true;
  if (kind === "plugins" && field === "config" && CODE_NAME.test(below[0] ?? "")) return true;
  return path.some((name) => SECRET_NAME.test(name) && !HARMLESS_NAME.test(name));
}

/** `value`, as it stands at `path` of an entity of this kind, with HIDDEN in place of what is not shown. */
export function mask(kind: string, path: readonly string[], value: Json): Json {
  if (value === null || typeof value === "boolean") return value;
  if (isReference(kind, path, value)) return value;
  if (isHiddenName(kind, path)) return HIDDEN;
  if (typeof value === "number") return value;
  if (typeof value === "string" && kind === "services" && path[0] === "path") {
    return value
      .split("/")
      .map((part) => maskText(part, true))
      .join("/");
  }
  if (typeof value === "string") return maskText(value, path.includes("config"));
  if (isArray(value)) return value.map((element) => mask(kind, path, element));
  return maskMembers(kind, path, value);
}

/** A text that is not hidden by its name. `isConfig`: of a plugin's configuration, where keys may stand under any name. */
export function maskText(text: string, isConfig: boolean): string {
  if (VAULT_REFERENCE.test(text) || UUID.test(text)) return text;
  if (text.length > MAX_SHOWN_CHARACTERS || text.includes("\n")) return HIDDEN;
  if (SECRET_TEXTS.some((pattern) => pattern.test(text))) return HIDDEN;
  if (isConfig && KEY_LIKE.test(text)) return HIDDEN;
  // Of an address only the origin: path and query are where webhooks carry their tokens.
  return text.replace(
    /([a-z][a-z0-9+.-]*:\/\/[^/?#\s]*)([/?#]\S*)/gi,
    (_, origin: string, rest: string) => (rest === "/" ? origin : `${origin}/${HIDDEN}`),
  );
}

function maskMembers(kind: string, path: readonly string[], value: JsonObject): Json {
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      maskText(name, path.includes("config")),
      mask(kind, [...path, name], member),
    ]),
  );
}

/** What an entity of a hidden kind is called by the control plane, belongs to, and when it was made. */
function isReference(
  kind: string,
  [field = "", ...below]: readonly string[],
  value: Json,
): boolean {
  if (isPlainKind(kind) || below.length > 0) return false;
  if (/^(created_at|updated_at|ttl)$/.test(field)) return typeof value === "number";
  const isNamed = /^(id|consumer|service|route|upstream|ws_id)$/.test(field);
  return isNamed && typeof value === "string" && UUID.test(value);
}
