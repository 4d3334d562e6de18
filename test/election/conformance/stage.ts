/** Conformance: contenders at work, all that they were told, and a judge who looks at every step. */

import assert from "node:assert/strict";
import type { Leadership } from "../../../src/election/port.ts";
import type { Contender, ElectionUnderTest, World } from "../conformance.ts";

/** Where something is due, time passes in steps of this part of the lease. */
const STEPS_PER_LEASE = 100;

/** A contender that campaigns. */
export class Runner {
  readonly contender: Contender;
  /** What its consumer was told. */
  readonly told: Leadership[] = [];
  /** Set once the iteration has ended. */
  ended: { readonly error: unknown } | undefined;
  /** Neither paused nor dead nor told to stop: it may write if it believes to be the holder. */
  isAwake = true;
  readonly #stop = new AbortController();

  constructor(contender: Contender, onToken: (token: number, by: Runner) => void) {
    this.contender = contender;
    void this.#consume(onToken);
  }

  /** Under which it believes to be the holder. */
  get token(): number | undefined {
    const last = this.told.at(-1);
    return last?.kind === "holder" && this.ended === undefined ? last.token : undefined;
  }

  get isHolder(): boolean {
    return this.token !== undefined;
  }

  /** As SIGTERM does. */
  stop(reason: Error = new Error("told to stop")): void {
    this.isAwake = false;
    this.#stop.abort(reason);
  }

  pause(): void {
    this.isAwake = false;
    this.contender.pause();
  }

  resume(): void {
    this.isAwake = true;
    this.contender.resume();
  }

  /** Without a word, and for ever. */
  kill(): void {
    this.pause();
  }

  async #consume(onToken: (token: number, by: Runner) => void): Promise<void> {
    try {
      for await (const leadership of this.contender.election.campaign(this.#stop.signal)) {
        this.told.push(leadership);
        if (leadership.kind === "holder") onToken(leadership.token, this);
      }
      this.ended = { error: new Error("the iteration ended without an error") };
    } catch (error) {
      this.ended = { error };
    }
  }
}

export class Stage implements AsyncDisposable {
  readonly world: World;
  readonly runners: Runner[] = [];
  /** In the order in which they were given out. */
  readonly tokens: number[] = [];
  readonly #faults: string[] = [];

  private constructor(world: World) {
    this.world = world;
  }

  static async open(under: ElectionUnderTest): Promise<Stage> {
    return new Stage(await under.open());
  }

  /** One that is part of no judgement: how to use it is the case's business. */
  contender(): Promise<Contender> {
    return this.world.join();
  }

  /** One more that campaigns. `prepare` is called before it begins. */
  async run(prepare: (contender: Contender) => void = () => {}): Promise<Runner> {
    const contender = await this.world.join();
    prepare(contender);
    const runner = new Runner(contender, (token, by) => this.#gotToken(token, by));
    this.runners.push(runner);
    await this.advance(0);
    return runner;
  }

  /** The first runner, the holder, and another one that follows it. */
  async holderAndFollower(): Promise<{ readonly holder: Runner; readonly follower: Runner }> {
    const holder = await this.run();
    await this.until(() => holder.isHolder, 0);
    const follower = await this.run();
    await this.until(() => follower.told.length > 0, 0);
    return { holder, follower };
  }

  /** Lets time pass in small steps, or from one event to the next, each of them judged. */
  async advance(ms: number): Promise<void> {
    await this.world.advance(0);
    for (let leftMs = ms; leftMs > 0; ) {
      const stepMs = Math.min(leftMs, this.#stepMs);
      await this.world.advance(stepMs);
      this.judge();
      leftMs -= stepMs;
    }
    this.judge();
  }

  /** Lets time pass until `condition` holds; fails if `withinMs` pass before. */
  async until(condition: () => boolean, withinMs: number): Promise<void> {
    await this.advance(0);
    for (let leftMs = withinMs; !condition(); ) {
      if (leftMs <= 0) {
        assert.fail(`not so within ${withinMs} ms: ${condition} ${this.#describe()}`);
      }
      const stepMs = Math.min(leftMs, this.#stepMs);
      await this.advance(stepMs);
      leftMs -= stepMs;
    }
  }

  /** Where nothing happens by itself for longer than a small step, that long. */
  get #stepMs(): number {
    const { leaseMs, quietMs } = this.world;
    const smallMs = leaseMs / STEPS_PER_LEASE;
    return Number.isFinite(quietMs) ? Math.max(smallMs, quietMs) : smallMs;
  }

  judge(): void {
    const holders = this.runners.filter(({ isAwake, isHolder }) => isAwake && isHolder);
    if (holders.length > 1) this.#faults.push(`${holders.length} holders`);
    assert.deepEqual(this.#faults, [], this.#describe());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const runner of this.runners) {
      runner.contender.reconnect();
      runner.contender.resume();
      runner.stop();
    }
    await this.world.advance(0);
    await this.world.advance(this.world.leaseMs);
    await this.world[Symbol.asyncDispose]();
  }

  #gotToken(token: number, by: Runner): void {
    const highest = this.tokens.at(-1) ?? 0;
    if (!(token > highest)) this.#faults.push(`token ${token} after ${highest}`);
    this.tokens.push(token);
    const others = this.runners.filter((it) => it !== by && it.isAwake && it.isHolder);
    if (by.isAwake && others.length > 0) this.#faults.push(`${token} beside another holder`);
  }

  #describe(): string {
    const told = this.runners.map((runner) => runner.told);
    return JSON.stringify({ tokens: this.tokens, told });
  }
}
