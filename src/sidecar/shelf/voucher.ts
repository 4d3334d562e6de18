/** Who vouched for a config when it was put on the local disk: the disk asks for no signature, and keys change. */

import { SnapshotError } from "../../snapshots/errors.ts";
import type { Metadata } from "../../store/port.ts";
import type { Origin } from "./payload.ts";

/** Name of the metadata. */
const VOUCHED_BY = "vouched-by";
const CONTROL_PLANE = "control-plane";
/** Metadata have 2 kB in all. */
const MAX_NAMED = 30;

/** `trusted`: the ids of the keys one of which must have signed what came from a store; none: no signature was asked for. */
export function voucher(origin: Origin, trusted: readonly string[]): Metadata {
  if (origin === "memory") return { [VOUCHED_BY]: CONTROL_PLANE };
  return trusted.length === 0 ? {} : { [VOUCHED_BY]: trusted.slice(0, MAX_NAMED).join(",") };
}

/**
 * Throws SNAPSHOT_UNSIGNED where signatures are asked for now, and one of a key that is not trusted any
 * more, or none at all, was good enough then. `name` is the object, for the message.
 */
export function checkVoucher(metadata: Metadata, trusted: readonly string[], name: string): void {
  const vouchedBy = metadata[VOUCHED_BY];
  if (trusted.length === 0 || vouchedBy === CONTROL_PLANE) return;
  const ids = vouchedBy?.split(",") ?? [];
  if (ids.length > 0 && ids.every((id) => trusted.includes(id))) return;
  const then = ids.length === 0 ? "no signature was asked for" : `${ids.join(", ")} were trusted`;
  throw new SnapshotError(
    "SNAPSHOT_UNSIGNED",
    `${name} was kept while ${then}, so it is not used`,
    {
      hint: "Nothing has to be done: it is replaced by what the store or the control plane has.",
    },
  );
}
