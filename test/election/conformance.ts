/** The promises of the Election port as one suite: every driver passes it, in a world that can be broken on purpose. */

import { describe } from "vitest";
import type { Election } from "../../src/election/port.ts";
import type { Fault } from "../fakes/store-link.ts";
import { describeEnding } from "./conformance/ending.ts";
import { describeFaults } from "./conformance/faults.ts";
import { describeHandover } from "./conformance/handover.ts";
import { describeManyFaults } from "./conformance/many-faults.ts";

export interface ElectionUnderTest {
  /** A server on which nobody was ever elected. Time stands still in it but for `advance`. */
  open(): Promise<World>;
  /** How many random histories to play; 5 if absent. */
  readonly histories?: number;
  /** Longest time for one case, milliseconds; 60000 if absent. */
  readonly timeoutMs?: number;
}

export interface World extends AsyncDisposable {
  /** How long others leave a lease alone that its holder no longer renews, milliseconds. */
  readonly leaseMs: number;
  /** Longest time that a follower needs to notice a change of the lease and to act on it, with all jitter, milliseconds. */
  readonly pollMs: number;
  /** Before so many milliseconds have passed, nothing happens by itself. */
  readonly quietMs: number;
  /** Another process that takes part; `election` is not campaigning yet. */
  join(): Promise<Contender>;
  /**
   * Lets `ms` pass in one go, then waits until the server has answered whatever it was asked and
   * nothing more happens without time passing. `advance(0)` is the waiting alone.
   */
  advance(ms: number): Promise<void>;
}

/** One process. A process that is killed is one that is paused for ever. */
export interface Contender {
  readonly election: Election;
  /** Calls made to the server so far, answered or not. */
  readonly requests: number;
  /** It stands still: no timer of its fires, no answer reaches it. What it sent before arrives. */
  pause(): void;
  resume(): void;
  /** Its calls fail at once, or are never answered, and have no effect. */
  cutOff(how: Fault): void;
  /** Ends that, and forgets an answer still to be lost. */
  reconnect(): void;
  /** Its next write happens, but fails for it at once, or is never answered. */
  loseNextAnswer(how: Fault): void;
  /** Its next write waits on the way until `deliver`, and is never answered. */
  holdNextWrite(): { deliver(): Promise<void> };
}

/** Registers the suite as `describe(name)`. Every case opens its own world. */
export function electionConformance(name: string, under: ElectionUnderTest): void {
  describe(name, { timeout: under.timeoutMs ?? 60_000 }, () => {
    describeHandover(under);
    describeFaults(under);
    describeManyFaults(under);
    describeEnding(under);
  });
}
