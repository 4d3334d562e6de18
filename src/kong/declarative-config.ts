/** Kong's declarative configuration: what must hold before bytes are saved, served or applied as one. */

import { ServiceError } from "../core/errors.ts";
import {
  elementsOf,
  type JsonMember,
  type JsonSpan,
  JsonSyntaxError,
  jsonMembers,
} from "./json-members.ts";

/** Kong/kong@3.9.1 kong/db/schema/others/declarative_config.lua; 2.x knows the first two. */
const FORMAT_VERSIONS: ReadonlySet<string> = new Set(["1.1", "2.1", "3.0"]);

/**
 * - `CONFIG_NOT_JSON`: not one well-formed JSON object: truncated, damaged, or another file altogether.
 * - `CONFIG_FORMAT_VERSION`: `_format_version` is missing or unknown; every Kong would refuse it.
 */
export type DeclarativeConfigErrorCode = "CONFIG_NOT_JSON" | "CONFIG_FORMAT_VERSION";

export class DeclarativeConfigError extends ServiceError {
  readonly code: DeclarativeConfigErrorCode;
  readonly exitStatus = 3;

  constructor(code: DeclarativeConfigErrorCode, message: string, cause?: unknown) {
    super(message, { retryable: false, cause });
    this.code = code;
  }
}

/** What a config says of where it comes from. */
export interface ConfigOrigin {
  /**
   * Of the control plane's database: a UUID that each makes when it is set up, and keeps when it is
   * copied or upgraded (Kong/kong@3.9.1 kong/db/migrations/core/013_220_to_230.lua). Undefined where
   * there is none, as in what is written by hand.
   */
  readonly clusterId: string | undefined;
}

/** Checks well-formedness and `_format_version`, without parsing the entities. Throws DeclarativeConfigError. */
export function checkDeclarativeConfig(config: Uint8Array): ConfigOrigin {
  const members = membersOf(config);
  const version = formatVersion(config, members);
  if (typeof version !== "string" || !FORMAT_VERSIONS.has(version)) {
    const known = [...FORMAT_VERSIONS].map((text) => JSON.stringify(text)).join(", ");
    const isText = typeof version === "string";
    const what = version === undefined ? "is missing" : isText ? "is unknown" : "is no text";
    const told = version === undefined ? anotherObject(config, members) : undefined;
    throw new DeclarativeConfigError(
      "CONFIG_FORMAT_VERSION",
      told ?? `the config's _format_version ${what}; it must be one of ${known}`,
    );
  }
  return { clusterId: clusterIdIn(config, members) };
}

/** Whether a text is the id of a cluster. */
export function isClusterId(text: string): boolean {
  return CLUSTER_ID.test(text);
}

const CLUSTER_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

function membersOf(config: Uint8Array): readonly JsonMember[] {
  try {
    return jsonMembers(config);
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    const told = anotherForm(config) ?? error.message;
    throw new DeclarativeConfigError(
      "CONFIG_NOT_JSON",
      `the config is no JSON object (${config.length} bytes): ${told}`,
      error,
    );
  }
}

/** What people paste in place of JSON. */
function anotherForm(bytes: Uint8Array): string | undefined {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return "it is compressed with gzip; unpack it first";
  const head = Buffer.from(bytes.subarray(0, 4096)).toString("latin1");
  if (head.startsWith("age-encryption.org/")) return "it is encrypted with age";
  if (/^(?:---|#|_format_version:|[a-z_]+:\s*$)/m.test(head)) {
    return "it looks like YAML; convert it, e.g. with `yq -o json`";
  }
  return undefined;
}

/** What people paste in place of a config, by the members that each has. */
function anotherObject(config: Uint8Array, members: readonly JsonMember[]): string | undefined {
  const has = (...keys: readonly string[]) =>
    keys.every((key) => members.some((member) => member.key === key));
  if (has("config_table")) {
    return "it is a control plane's whole message; the config is its member `config_table`";
  }
  if (has("data", "next") || has("data", "offset")) {
    return "it is a page of an Admin API's answer, not a config";
  }
  const wrapped = members.find(({ key }) => key === "config");
  if (wrapped !== undefined && typeof parse(config, wrapped) === "string") {
    return "it is an Admin API's answer to GET /config; the config is the text in its member `config`, as YAML";
  }
  return undefined;
}

/** Undefined where the member is missing. */
function formatVersion(config: Uint8Array, members: readonly JsonMember[]): unknown {
  const member = members.findLast(({ key }) => key === "_format_version");
  return member && parse(config, member);
}

function clusterIdIn(config: Uint8Array, members: readonly JsonMember[]): string | undefined {
  const parameters = members.findLast(({ key }) => key === "parameters");
  if (parameters === undefined) return undefined;
  for (const element of elementsOf(config, parameters.start)) {
    const row = parse(config, element);
    if (typeof row !== "object" || row === null) continue;
    if (!("key" in row) || !("value" in row) || row.key !== "cluster_id") continue;
    return typeof row.value === "string" && isClusterId(row.value) ? row.value : undefined;
  }
  return undefined;
}

function parse(config: Uint8Array, { start, end }: JsonSpan): unknown {
  return JSON.parse(Buffer.from(config.subarray(start, end)).toString("utf8"));
}
