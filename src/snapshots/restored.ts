/** How a snapshot says that an operator restored it: in the place of an exporter's id, which is signed and which every version of this program reads. */

import { historyHash } from "./layout.ts";
import type { SnapshotMetadata } from "./snapshot.ts";

const RESTORED = "restored:";
const OVER = ":over:";

/** `id`: under which it lies in the history; `replaced`: what was current until then, if that is known. */
export function restoredExporterId(id: string, replaced: SnapshotMetadata | undefined): string {
  if (replaced === undefined) return `${RESTORED}${id}`;
  // What the first of several restores in a row replaced is what the control plane has.
  return `${RESTORED}${id}${OVER}${replacedHashOf(replaced) ?? historyHash(replaced)}`;
}

export function isRestored({ exporterId }: Pick<SnapshotMetadata, "exporterId">): boolean {
  return exporterId.startsWith(RESTORED);
}

/** Of what the control plane had when it was restored, see historyHash; undefined where it does not say. */
export function replacedHashOf({ exporterId }: SnapshotMetadata): string | undefined {
  if (!isRestored({ exporterId })) return undefined;
  const [, hash] = exporterId.split(OVER);
  return hash;
}
