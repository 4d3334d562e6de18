/** What a reader may ask of a snapshot beyond that it is whole. */

import { SnapshotError } from "./errors.ts";
import type { SnapshotMetadata } from "./snapshot.ts";

export interface Demands {
  /** A Kong must have loaded it before it was saved; absent: not. */
  readonly requireRehearsed?: boolean;
}

/** Throws SNAPSHOT_NOT_REHEARSED. `metadata` are the snapshot's, `name` is the object with its store, for the message. */
export function checkDemands(
  metadata: SnapshotMetadata | undefined,
  { requireRehearsed = false }: Demands,
  name: string,
): void {
  if (!requireRehearsed || metadata?.rehearsed === true) return;
  throw new SnapshotError(
    "SNAPSHOT_NOT_REHEARSED",
    `${name} was not rehearsed: no Kong is known to have loaded it before it was saved`,
    {
      hint: "Give its exporter a Kong to rehearse with (KONG_FALLBACK_REHEARSAL_URL), or set KONG_FALLBACK_REQUIRE_REHEARSED=off here.",
    },
  );
}
