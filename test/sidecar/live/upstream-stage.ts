/** What the tests of the upstream share: one that is watched, its control plane, its clock, and what became of it. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { ServiceError } from "../../../src/core/errors.ts";
import type { UpstreamState } from "../../../src/sidecar/live/evidence.ts";
import {
  Upstream,
  type UpstreamOptions,
  type UpstreamTiming,
} from "../../../src/sidecar/live/upstream.ts";
import type { DialedConnection, DialRequest } from "../../../src/source/port.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";
import { ScriptedDialer } from "../../fakes/scripted-dialer.ts";
import { seededRandom } from "../../fakes/seeded-random.ts";

export const PROBE = "/v1/outlet?node_id=probe&node_version=3.9.1";
export const TIMING: UpstreamTiming = {
  reconnectMs: 15_000,
  retryMs: 5_000,
  recoveryMs: 30_000,
  releaseMs: 60_000,
};
const PLANE: DialRequest = { target: "/v1/outlet?node_id=plane&node_version=3.9.1" };

export interface StateAt {
  readonly atMs: number;
  readonly kind: UpstreamState["kind"];
}

export interface StageOptions {
  readonly timing?: Partial<UpstreamTiming>;
  readonly random?: () => number;
  readonly dialer?: undefined;
  /** What the first probe meets; success by default. */
  readonly meets?: ScriptedDialer["meets"];
}

export class UpstreamStage {
  readonly clock = new ManualClock();
  readonly log = new RecordingLog();
  readonly dialer = new ScriptedDialer(this.clock);
  readonly states: StateAt[] = [];
  /** Of the watch. */
  readonly stop = new AbortController();
  readonly upstream: Upstream;
  readonly running: Promise<never>;

  constructor(options: StageOptions = {}) {
    const { clock, log, dialer } = this;
    dialer.meets = options.meets ?? "success";
    const settings: UpstreamOptions = {
      dialer,
      probeTarget: PROBE,
      served: () => ["3.9.1"],
      clock,
      random: () => 0,
      log,
      ...options,
      timing: { ...TIMING, ...options.timing },
      onState: ({ kind }) => this.states.push({ atMs: clock.monotonicMs(), kind }),
    };
    this.upstream = new Upstream(settings);
    this.running = this.upstream.run(this.stop.signal);
    this.running.catch(() => {});
  }

  get kinds(): readonly string[] {
    return this.states.map(({ kind }) => kind);
  }

  /** When it was asked on behalf of nobody. */
  get probesAtMs(): readonly number[] {
    return this.dialer.dials.filter(({ target }) => target === PROBE).map(({ atMs }) => atMs);
  }

  /** A data plane's connection. */
  dial(): Promise<DialedConnection> {
    return this.upstream.dial(PLANE, new AbortController().signal);
  }

  /** Waits for its turn; `atMs` is when it came. */
  wait(): Waiter {
    const leave = new AbortController();
    const waiter: Waiter = {
      leave,
      atMs: undefined,
      turn: this.upstream.turn(leave.signal).then(() => {
        waiter.atMs = this.clock.monotonicMs();
      }),
    };
    waiter.turn.catch(() => {});
    return waiter;
  }

  /** One that was live, and of which nobody has a connection. */
  static async live(options: StageOptions = {}): Promise<UpstreamStage> {
    const stage = new UpstreamStage(options);
    await stage.clock.advance(0);
    assert.deepEqual(stage.kinds, ["connecting", "live"]);
    return stage;
  }

  /** One that was live and is lost, as a data plane that gave up has said. */
  static async lost(options: StageOptions = {}): Promise<UpstreamStage> {
    const stage = await UpstreamStage.live(options);
    await stage.fall();
    return stage;
  }

  /** The control plane goes down, and a data plane gives it up. */
  async fall(): Promise<void> {
    await this.dialer.down();
    this.upstream.lost(await failureOf(this.dial()));
    assert.equal(this.upstream.state.kind, "fallback");
  }

  /** Stops the watch; nothing of it must be left. */
  async end(): Promise<void> {
    const reason = new Error("stop");
    this.stop.abort(reason);
    await assert.rejects(this.running, (error) => error === reason);
  }
}

export interface Waiter {
  readonly leave: AbortController;
  atMs: number | undefined;
  readonly turn: Promise<void>;
}

/** The ServiceError a dial rejects with. */
export async function failureOf(dial: Promise<unknown>) {
  try {
    await dial;
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
  return assert.fail("the dial succeeded");
}

const SIGNS = { connecting: "?", live: "=", fallback: "." } as const;
const RECONNECT_MS = 2_000;
const PLANES = 20;

/** An upstream with data planes that live by it as real sessions do, and a control plane that comes and goes. */
export class Flapping {
  readonly stage: UpstreamStage;
  readonly controlPlane: Change[] = [{ atMs: 0, sign: "#" }];
  /** When each data plane came to the control plane. */
  readonly arrivalsAtMs: number[][];
  readonly #over: AbortController[] = [];

  private constructor(stage: UpstreamStage) {
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
    return new Flapping(await UpstreamStage.live({ random: seededRandom(7), timing }));
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

export interface Change {
  readonly atMs: number;
  /** One sign, in force until the next change. */
  readonly sign: string;
}

/** What happened when, as lines of text of which each sign stands for the same time: for benches and docs. */
export interface Track {
  readonly name: string;
  /** In the order of time. */
  readonly changes: readonly Change[];
}

export interface TimelineScale {
  /** Milliseconds that one sign stands for; of several changes within, the last is shown. */
  readonly stepMs: number;
  readonly untilMs: number;
}

const SIGNS_PER_MARK = 10;

/** One line per track, and below them a ruler in minutes and seconds. */
export function renderTimeline(
  tracks: readonly Track[],
  { stepMs, untilMs }: TimelineScale,
): string {
  const width = Math.max(...tracks.map(({ name }) => name.length));
  const steps = Math.ceil(untilMs / stepMs);
  const lines = tracks.map(({ name, changes }) => {
    const signs = Array.from({ length: steps }, (_, step) => signAt(changes, (step + 1) * stepMs));
    return `${name.padEnd(width)}  ${signs.join("")}`;
  });
  const marks = Array.from({ length: Math.ceil(steps / SIGNS_PER_MARK) }, (_, mark) =>
    clockTime(mark * SIGNS_PER_MARK * stepMs).padEnd(SIGNS_PER_MARK),
  );
  const ruler = `${"".padEnd(width)}  ${marks.join("")}`.trimEnd();
  return `${[...lines, ruler].join("\n")}\n`;
}

function signAt(changes: readonly Change[], beforeMs: number): string {
  return changes.findLast(({ atMs }) => atMs < beforeMs)?.sign ?? " ";
}

function clockTime(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
