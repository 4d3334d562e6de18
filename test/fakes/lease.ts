/** The lease in a store as an exporter writes it that no test runs. */

import type { Clock } from "../../src/core/clock.ts";
import { StorePlace } from "../../src/election/store.ts";
import { leaseKey } from "../../src/snapshots/layout.ts";
import type { Store } from "../../src/store/port.ts";
import { V391 } from "./config.ts";

/** For Kong 3.9.1, of `exporter-1` on `host-1`. */
export function leaseIn(store: Store, clock: Clock): StorePlace {
  return new StorePlace({
    store,
    key: leaseKey(V391),
    exporter: { id: "exporter-1", hostname: "host-1" },
    ttlMs: 15_000,
    conditional: async () => true,
    clock,
  });
}
