/** The election by a lease in a store: conformance over a store in memory. Real ones: store-real.test.ts. */

import { MemoryStore } from "../fakes/memory-store.ts";
import { electionConformance } from "./conformance.ts";
import { StoreWorld } from "./store-world.ts";

electionConformance("StoreElection over MemoryStore", {
  open: async () => new StoreWorld(new MemoryStore()),
  histories: 40,
});
