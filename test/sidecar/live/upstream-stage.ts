/** What the tests of the upstream share: one that is watched, its control plane, its clock, and what became of it. */

import assert from "node:assert/strict";
import { ServiceError } from "../../../src/core/errors.ts";
import {
  Upstream,
  type UpstreamOptions,
  type UpstreamState,
  type UpstreamTiming,
} from "../../../src/sidecar/live/upstream.ts";
import type { DialedConnection, DialRequest } from "../../../src/source/port.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";
import { ScriptedDialer } from "../../fakes/scripted-dialer.ts";

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

export class Stage {
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
  static async live(options: StageOptions = {}): Promise<Stage> {
    const stage = new Stage(options);
    await stage.clock.advance(0);
    assert.deepEqual(stage.kinds, ["connecting", "live"]);
    return stage;
  }

  /** One that was live and is lost, as a data plane that gave up has said. */
  static async lost(options: StageOptions = {}): Promise<Stage> {
    const stage = await Stage.live(options);
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

/** In [0, 1), the same sequence for the same seed: mulberry32. */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
