/** An end to listings that have none: a server, or whoever took its place, may always say that there is more. */

import { StoreError } from "./port.ts";

/** Pages of up to 1000 objects: far more than all histories of all versions have. */
const MAX_PAGES = 1_000;

/** Call it before each page. Throws STORE_MISCONFIGURED, for the page after the last one that makes sense. `attempt`: what is being done, for the message. */
export function pageLimit(attempt: string): () => void {
  let pages = 0;
  return () => {
    pages += 1;
    if (pages <= MAX_PAGES) return;
    throw new StoreError(
      "STORE_MISCONFIGURED",
      `could not ${attempt}: the listing does not end, not after ${MAX_PAGES} pages`,
      {
        hint: "Give the backups a prefix of their own. If they have one, the server repeats itself, or somebody else writes there.",
      },
    );
  };
}
