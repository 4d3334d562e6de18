/** Why an object cannot be used, for a line that names the object already. */

import type { ServiceError } from "../../core/errors.ts";
import { currentKey, HISTORY_SUFFIX, historyPrefix } from "../../snapshots/layout.ts";
import { CURRENT } from "./find.ts";
import type { Place } from "./place.ts";

/** The message, with `it` for the object's name at its beginning. `object`: `current`, or an id. */
export function reasonOf(
  { message }: ServiceError,
  { store, version }: Pick<Place, "store" | "version">,
  object: string,
): string {
  const key =
    object === CURRENT
      ? currentKey(version)
      : `${historyPrefix(version)}/${object}${HISTORY_SUFFIX}`;
  const name = `${store.url}/${key} `;
  return message.startsWith(name) ? `it ${message.slice(name.length)}` : message;
}
