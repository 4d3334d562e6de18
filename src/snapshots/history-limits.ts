/** What no history of exporters comes to: whoever made it so is to be found out. */

import { StoreError } from "../store/port.ts";
import { SnapshotError } from "./errors.ts";

/** Twice what KONG_FALLBACK_HISTORY_MAX_COUNT allows: more were not written by exporters, and would take all memory. */
export const MAX_ENTRIES = 100_000;

/** STORE_MISCONFIGURED. `name` is the history's folder with its store. */
export function overfull(name: string): StoreError {
  return new StoreError(
    "STORE_MISCONFIGURED",
    `could not list ${name}: it has more than ${MAX_ENTRIES} entries`,
    { hint: "Find out who writes there: exporters remove what is beyond the history's limits." },
  );
}

/**
 * SNAPSHOT_CORRUPT: names have four digits for the year, and what came after them would sort before all
 * others, unseen. `name` is the newest entry with its store.
 */
export function atEndOfTime(name: string): SnapshotError {
  return new SnapshotError("SNAPSHOT_CORRUPT", `no name is left in the history after ${name}`, {
    hint: "No clock gets there: look who wrote that object, and delete it.",
  });
}
