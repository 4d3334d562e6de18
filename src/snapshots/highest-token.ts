/** Where the fencing tokens of a store go on from. */

import type { CurrentObject } from "./current.ts";
import { isPassedOver } from "./errors.ts";
import type { History } from "./history.ts";

/**
 * The highest fencing token that a store has seen with a snapshot, 0 if none: of the current one, or of
 * the newest of the history where that is gone or its metadata are. It need not be opened, but none is
 * believed that is not signed as it must be. Rejects with SNAPSHOT_UNKNOWN_FORMAT, StoreError.
 */
export async function highestToken(
  current: CurrentObject,
  history: History,
  signal: AbortSignal,
): Promise<number> {
  const known = await current.look(signal);
  if (known.kind === "present" && known.fencingToken > 0) return known.fencingToken;
  for (const { id } of await history.list(signal)) {
    try {
      return (await history.sight(id, signal)).metadata.fencingToken;
    } catch (error) {
      if (!isPassedOver(error)) throw error;
    }
  }
  return 0;
}
