/** How what is saved compares with what the control plane has now. */

import type { ServiceError } from "../../core/errors.ts";
import type { ConfigUpdate } from "../../kong/reconfigure.ts";
import { isSameConfig } from "../../snapshots/order.ts";
import { type SnapshotMetadata, sha256 } from "../../snapshots/snapshot.ts";

export type Comparison =
  | { readonly kind: "same" }
  /** Another config. `seconds` by the control plane's own timestamps; undefined where one is missing. */
  | { readonly kind: "behind"; readonly seconds: number | undefined }
  /** Another config, and the saved one is newer: it was restored, or comes from a control plane whose clock is ahead. */
  | { readonly kind: "ahead"; readonly seconds: number }
  | { readonly kind: "unknown"; readonly reason: string };

/** `live`: what the control plane has, or why nobody knows. */
export function compareWith(
  live: ConfigUpdate | ServiceError,
  saved: SnapshotMetadata | undefined,
): Comparison {
  if (live instanceof Error) return { kind: "unknown", reason: live.message };
  if (saved === undefined) {
    return { kind: "unknown", reason: "what is saved carries no metadata to compare by" };
  }
  const { configHash, configTable, timestamp } = live;
  const isSame = isSameConfig(saved, { ...saved, configHash, sha256: sha256(configTable) });
  if (isSame) return { kind: "same" };
  const made = saved.controlPlaneTimestamp;
  if (timestamp === undefined || made === undefined) return { kind: "behind", seconds: undefined };
  const seconds = Math.round(timestamp - made);
  return seconds >= 0 ? { kind: "behind", seconds } : { kind: "ahead", seconds: -seconds };
}

export function comparisonText(comparison: Comparison): string {
  switch (comparison.kind) {
    case "same":
      return "same as what the control plane has now";
    case "behind":
      return comparison.seconds === undefined
        ? "not what the control plane has now"
        : `behind the control plane by ${comparison.seconds} s`;
    case "ahead":
      return `not what the control plane has now, and newer by ${comparison.seconds} s: restored, or the clocks of control planes differ`;
    case "unknown":
      return `unknown: ${comparison.reason}`;
    default:
      return comparison satisfies never;
  }
}
