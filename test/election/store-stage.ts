/** A stage of the election by a lease in a store, whose contenders take options of their own. */

import type { StoreElectionOptions } from "../../src/election/store.ts";
import { Stage } from "./conformance/stage.ts";
import { type StoreContender, type StoreWorld, TTL_MS } from "./store-world.ts";

/** A lease, and the followers' longest poll after it. */
export const TAKEOVER_MS = TTL_MS + 6_000;

/** Over `world`. Who joins takes `options` as they are then, and is added to `joined`. */
export function stageOver(
  world: StoreWorld,
  options: () => Partial<StoreElectionOptions>,
  joined: StoreContender[],
): Promise<Stage> {
  const { leaseMs, pollMs } = world;
  const join = async () => {
    const contender = await world.join(options());
    joined.push(contender);
    return contender;
  };
  return Stage.open({
    open: async () => ({
      leaseMs,
      pollMs,
      get quietMs() {
        return world.quietMs;
      },
      join,
      advance: (ms) => world.advance(ms),
      [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
    }),
  });
}
