/** Why a snapshot cannot be used. */

import { type ErrorDetails, ServiceError } from "../core/errors.ts";
import { StoreError } from "../store/port.ts";

/**
 * - `SNAPSHOT_MISSING`: nothing is saved for this Kong version. Start an exporter, or check prefix and KONG_VERSION.
 * - `SNAPSHOT_CORRUPT`: length, digest or form do not hold: truncated, changed by hand, or damaged. Take an older copy.
 * - `SNAPSHOT_WRONG_VERSION`: it was saved for another Kong version, which may reject it.
 * - `SNAPSHOT_OTHER_CLUSTER`: it is the config of another Kong cluster, and what lies there stays. Give each cluster a prefix of its own; to move one, see docs/exporters.md.
 * - `SNAPSHOT_NOT_REHEARSED`: KONG_FALLBACK_REQUIRE_REHEARSED is on, and no Kong was seen to load it before it was saved. Older ones that were are used.
 * - `SNAPSHOT_UNKNOWN_FORMAT`: written by a newer kong-fallback. Upgrade this one.
 * - `SNAPSHOT_UNSIGNED`: none of KONG_FALLBACK_VERIFY_KEYS signed it, or it was changed after that: add the exporter's key, or find out who wrote it.
 * - `SNAPSHOT_SEALED`: it is encrypted, and none of KONG_FALLBACK_AGE_IDENTITIES opens it. Add one of those it was encrypted for.
 */
export type SnapshotErrorCode =
  | "SNAPSHOT_MISSING"
  | "SNAPSHOT_CORRUPT"
  | "SNAPSHOT_WRONG_VERSION"
  | "SNAPSHOT_OTHER_CLUSTER"
  | "SNAPSHOT_NOT_REHEARSED"
  | "SNAPSHOT_UNKNOWN_FORMAT"
  | "SNAPSHOT_UNSIGNED"
  | "SNAPSHOT_SEALED";

export class SnapshotError extends ServiceError {
  readonly code: SnapshotErrorCode;
  readonly exitStatus = 3;

  constructor(code: SnapshotErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, { retryable: false, ...details });
    this.code = code;
  }
}

/** SNAPSHOT_OTHER_CLUSTER for what lies under `name`; `ours`: the control plane's cluster. */
export function otherCluster(
  name: string,
  theirs: string | undefined,
  ours: string | undefined,
): SnapshotError {
  return new SnapshotError(
    "SNAPSHOT_OTHER_CLUSTER",
    `${name} is the config of Kong cluster ${theirs}, the control plane's is ${ours}`,
    {
      hint: "Give each cluster a prefix of its own in KONG_CLUSTER_FALLBACK_CONFIG_STORAGE. If this cluster is to take the other one's place: docs/exporters.md, two clusters.",
    },
  );
}

export function isNotFound(error: unknown): boolean {
  return error instanceof StoreError && error.code === "STORE_NOT_FOUND";
}

/** Whether another snapshot may be used in its place. Not for one of a newer program, which knew better; nor for a store that does not answer. */
export function isPassedOver(error: unknown): boolean {
  return error instanceof StoreError
    ? error.code === "STORE_TOO_LARGE"
    : error instanceof SnapshotError && error.code !== "SNAPSHOT_UNKNOWN_FORMAT";
}
