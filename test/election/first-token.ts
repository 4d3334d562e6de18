/** How a real election is tried: whether it is won, and under which token. */

import type { Election } from "../../src/election/port.ts";

/** The token under which `election` first holds. Calls `then` at that moment; without, the campaign is broken off. */
export async function firstToken(
  election: Election,
  signal: AbortSignal,
  then?: () => void,
): Promise<number> {
  let token = 0;
  try {
    for await (const leadership of election.campaign(signal)) {
      if (leadership.kind === "follower") continue;
      token = leadership.token;
      if (then === undefined) break;
      then();
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return token;
}
