/** A seal that takes no virtual time, however long it takes. */

import type { Seal } from "../../src/snapshots/seal/seal.ts";
import type { Schedule } from "./schedule.ts";

/** As `seal`. */
export function timeless(seal: Seal, schedule: Schedule): Seal {
  return {
    ...seal,
    close: (body, metadata) => schedule.hold(seal.close(body, metadata)),
    open: (body, name, maxBytes) => schedule.hold(seal.open(body, name, maxBytes)),
  };
}
