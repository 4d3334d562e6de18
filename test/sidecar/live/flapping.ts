/** A control plane that comes and goes, before an upstream and its data planes. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { ServiceError } from "../../../src/core/errors.ts";
import { type Change, renderTimeline } from "./state-timeline.ts";
import { Stage, type StateAt, seededRandom } from "./upstream-stage.ts";

const SIGNS = { connecting: "?", live: "=", fallback: "." } as const;
const RECONNECT_MS = 2_000;
const PLANES = 20;

/** An upstream with data planes that live by it as real sessions do, and a control plane that comes and goes. */
export class Flapping {
  readonly stage: Stage;
  readonly controlPlane: Change[] = [{ atMs: 0, sign: "#" }];
  /** When each data plane came to the control plane. */
  readonly arrivalsAtMs: number[][];
  readonly #over: AbortController[] = [];

  private constructor(stage: Stage) {
    this.stage = stage;
    this.arrivalsAtMs = Array.from({ length: PLANES }, () => []);
    for (const arrivals of this.arrivalsAtMs) {
      const over = new AbortController();
      this.#over.push(over);
      this.#live(arrivals, over.signal).catch(() => {});
    }
  }

  static async begin(): Promise<Flapping> {
    const timing = { reconnectMs: RECONNECT_MS };
    return new Flapping(await Stage.live({ random: seededRandom(7), timing }));
  }

  async up(forMs: number): Promise<void> {
    this.stage.dialer.up();
    this.#note("#");
    await this.stage.clock.advance(forMs);
  }

  async down(forMs: number): Promise<void> {
    await this.stage.dialer.down();
    this.#note("_");
    await this.stage.clock.advance(forMs);
  }

  /** For how long the control plane must have been up before it is live, milliseconds. */
  async upUntilLive(): Promise<number> {
    const { clock, upstream } = this.stage;
    const fromMs = clock.monotonicMs();
    await this.up(0);
    while (upstream.state.kind !== "live") await clock.advance(1_000);
    return clock.monotonicMs() - fromMs;
  }

  /** Each state, and between which times it began. */
  hasStates(expected: readonly (readonly [StateAt["kind"], number, number])[]): void {
    const { states, kinds } = this.stage;
    assert.deepEqual(
      kinds,
      expected.map(([kind]) => kind),
    );
    for (const [i, [kind, fromMs, toMs]] of expected.entries()) {
      const atMs = states[i]?.atMs ?? Number.NaN;
      assert.ok(atMs >= fromMs && atMs <= toMs, `${kind} at ${atMs} ms`);
    }
  }

  /** In and out of `live`, from the first loss on. */
  get switches(): number {
    return this.stage.states.length - 2;
  }

  end(): Promise<void> {
    for (const over of this.#over) over.abort();
    return this.stage.end();
  }

  /** Until now: `#` up, `_` down, `=` live, `.` fallback. */
  render(stepMs: number): string {
    const { states, clock } = this.stage;
    const sidecar = states.map(({ atMs, kind }) => ({ atMs, sign: SIGNS[kind] }));
    return renderTimeline(
      [
        { name: "control plane", changes: this.controlPlane },
        { name: "sidecar", changes: sidecar },
      ],
      { stepMs, untilMs: clock.monotonicMs() },
    );
  }

  #note(sign: string): void {
    this.controlPlane.push({ atMs: this.stage.clock.monotonicMs(), sign });
  }

  async #live(arrivals: number[], signal: AbortSignal): Promise<never> {
    const { upstream, clock } = this.stage;
    let brokeAtMs = Number.NEGATIVE_INFINITY;
    for (;;) {
      try {
        const connection = await this.stage.dial();
        upstream.delivered(connection);
        arrivals.push(clock.monotonicMs());
        await once(connection.webSocket, "close", { signal });
        brokeAtMs = clock.monotonicMs();
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ServiceError)) throw error;
        if (upstream.state.kind !== "fallback" && clock.monotonicMs() - brokeAtMs < RECONNECT_MS) {
          await clock.sleep(500, signal);
        } else {
          upstream.lost(error);
          await upstream.turn(signal);
        }
      }
    }
  }
}
