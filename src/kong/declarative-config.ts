/** Kong's declarative configuration: what must hold before bytes are saved, served or applied as one. */

import { ServiceError } from "../core/errors.ts";
import { type JsonMember, JsonSyntaxError, jsonMembers } from "./json-members.ts";

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

/** Checks well-formedness and `_format_version`, without parsing the entities. Throws DeclarativeConfigError. */
export function checkDeclarativeConfig(config: Uint8Array): void {
  const version = formatVersion(config, membersOf(config));
  if (!FORMAT_VERSIONS.has(version)) {
    throw new DeclarativeConfigError(
      "CONFIG_FORMAT_VERSION",
      `the config's _format_version is ${version === "" ? "missing" : "unknown"}; expected ${[...FORMAT_VERSIONS].join(", ")}`,
    );
  }
}

function membersOf(config: Uint8Array): readonly JsonMember[] {
  try {
    return jsonMembers(config);
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw new DeclarativeConfigError(
      "CONFIG_NOT_JSON",
      `the config is no JSON object (${config.length} bytes): ${error.message}`,
      error,
    );
  }
}

/** `""` where the member is missing or not a string. */
function formatVersion(config: Uint8Array, members: readonly JsonMember[]): string {
  const member = members.findLast(({ key }) => key === "_format_version");
  if (member === undefined) return "";
  const value: unknown = JSON.parse(
    Buffer.from(config.subarray(member.start, member.end)).toString("utf8"),
  );
  return typeof value === "string" ? value : "";
}
