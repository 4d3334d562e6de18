/** What a data plane reports of a config it could not take: Kong 3.6 and later with `konnect_mode`. */

import { describeConfigRefusal, printableLine } from "./config-refusal.ts";

export interface PlaneError {
  /** Kong's name for it, e.g. `declarative configuration parse failure`. */
  readonly name: string;
  /** Kong's reasons, one line each, without the config's values; at most 10. */
  readonly reasons: readonly string[];
}

const MAX_REASONS = 10;

/** Undefined if the message is no such report. Kong/kong@3.9.1 kong/clustering/data_plane.lua, config_helper.lua */
export function parsePlaneError(message: Uint8Array): PlaneError | undefined {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(message).toString("utf8"));
  } catch {
    // Not JSON is no report.
    return undefined;
  }
  if (!isRecord(value) || value["type"] !== "error" || !isRecord(value["error"])) return undefined;
  const { name } = value["error"];
  return {
    name: printableLine(typeof name === "string" ? name : "unnamed error"),
    reasons: describeConfigRefusal(value["error"]).slice(0, MAX_REASONS),
  };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
