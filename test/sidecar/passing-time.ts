/** A clock that is moved by hand, and what happens on real sockets meanwhile. */

import assert from "node:assert/strict";
import { setImmediate, setTimeout } from "node:timers/promises";
import { ManualClock } from "../fakes/manual-clock.ts";
import { RecordingLog } from "../fakes/recording-log.ts";

export class PassingTime {
  readonly clock = new ManualClock(new Date());
  readonly log = new RecordingLog();

  /** Polls: what is waited for happens on sockets of this process. Where it does not, the log tells more than a time limit. */
  async until(condition: () => boolean): Promise<void> {
    for (let polls = 0; !condition(); polls += 1) {
      if (polls > 10_000) assert.fail(this.#told);
      await setTimeout(1);
    }
  }

  async said(message: string, count = 1): Promise<Record<string, unknown>> {
    await this.until(() => this.log.find(message).length >= count);
    return this.log.find(message)[count - 1]?.fields ?? {};
  }

  /** Lets time pass second by second, with time for what happens on sockets between. */
  async pass(ms: number): Promise<void> {
    for (let leftMs = ms; leftMs > 0; leftMs -= 1_000) {
      await this.clock.advance(Math.min(1_000, leftMs));
      for (let turns = 0; turns < 20; turns += 1) await setImmediate();
    }
  }

  /** As `pass`, until `condition` holds. */
  async passUntil(condition: () => boolean): Promise<void> {
    for (let seconds = 0; !condition(); seconds += 1) {
      if (seconds > 600) assert.fail(this.#told);
      await this.pass(1_000);
    }
  }

  get #told(): string {
    return `it never happened\n${this.log.lines.map((line) => JSON.stringify(line)).join("\n")}`;
  }
}
