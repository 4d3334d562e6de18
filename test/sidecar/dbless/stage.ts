/** A DB-less Kong with its keeper, looking at it whenever the test says so. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { AdminClient } from "../../../src/kong/admin-client.ts";
import { DblessKeeper, POLL_MS } from "../../../src/sidecar/dbless/keeper.ts";
import type { LoadableSnapshot } from "../../../src/sidecar/dbless/loader.ts";
import { configBytes } from "../../fakes/config.ts";
import { FakeKongAdmin } from "../../fakes/kong-admin.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";

export const GRACE_MS = 10_000;
/** From the first look that finds Kong empty to the one that is followed by a POST. */
export const GRACE_POLLS = GRACE_MS / POLL_MS;
/** What a controller's config has. */
export const FOREIGN = "f".repeat(32);

export class DblessStage implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly log = new RecordingLog();
  newest: LoadableSnapshot | undefined;
  /** Those before the newest; an error: they cannot be read. */
  earlier: readonly (LoadableSnapshot | Error)[] = [];
  isControlPlaneLive = false;
  random = (): number => 0;
  kong: FakeKongAdmin;
  readonly keeper: DblessKeeper;
  readonly #client: AdminClient;
  readonly #controller = new AbortController();
  #running: Promise<unknown> = Promise.resolve();

  private constructor(kong: FakeKongAdmin) {
    this.kong = kong;
    this.#client = new AdminClient({ url: new URL(kong.url) });
    this.keeper = new DblessKeeper({
      client: this.#client,
      newest: () => this.newest,
      earlier: () => this.#earlier(),
      isControlPlaneLive: async () => this.isControlPlaneLive,
      graceMs: GRACE_MS,
      clock: this.clock,
      random: () => this.random(),
      log: this.log,
    });
  }

  async *#earlier(): AsyncIterable<LoadableSnapshot> {
    for (const snapshot of this.earlier) {
      if (snapshot instanceof Error) throw snapshot;
      yield snapshot;
    }
  }

  static async open(): Promise<DblessStage> {
    return new DblessStage(await FakeKongAdmin.start());
  }

  /** Resolves after the keeper's first look, or its end. */
  async start(): Promise<void> {
    this.#running = this.keeper.run(this.#controller.signal).catch((error: unknown) => error);
    await this.settled();
  }

  /** The keeper looks this many times, and does what follows from it. */
  async poll(times = 1): Promise<void> {
    for (let time = 0; time < times; time += 1) {
      await this.clock.advance(POLL_MS);
      await this.settled();
    }
  }

  /** Resolves when the keeper waits for its next look, or has ended. */
  async settled(): Promise<void> {
    await Promise.race([this.clock.untilSleeping(POLL_MS), this.#running]);
  }

  /** What `run` rejected with. */
  ended(): Promise<unknown> {
    return this.#running;
  }

  abort(reason: Error): void {
    this.#controller.abort(reason);
  }

  async stopKong(): Promise<void> {
    await this.kong[Symbol.asyncDispose]();
  }

  /** Same address; what it remembers of its config is `hash`. */
  async startKong(hash?: string): Promise<void> {
    const port = Number(new URL(this.#client.url).port);
    this.kong = await FakeKongAdmin.start({ port });
    if (hash !== undefined) this.kong.configurationHash = hash;
  }

  get posts(): number {
    return this.kong.requests.filter((it) => it.startsWith("POST ")).length;
  }

  /** The times of POSTs while the keeper runs for so many looks, milliseconds after its first one. */
  async postTimes(polls: number): Promise<readonly number[]> {
    const times: number[] = [];
    await this.start();
    for (let poll = 0; poll < polls; poll += 1) {
      const before = this.posts;
      await this.poll();
      for (let post = before; post < this.posts; post += 1) times.push(this.clock.monotonicMs());
    }
    return times;
  }

  get messages(): readonly string[] {
    return this.log.lines.map(({ message }) => message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#controller.abort(new Error("end of the test"));
    await this.#running;
    assert.equal(this.clock.sleepers, 0, "a timer was left behind");
    await this.#client[Symbol.asyncDispose]();
    await this.kong[Symbol.asyncDispose]();
  }
}

export function loadable(name: string, config: Uint8Array = configBytes(name)): LoadableSnapshot {
  return { id: name, config: async () => config };
}

/** Kong's hash of `loadable(name)`. */
export function hashOf(name: string): string {
  return createHash("md5").update(configBytes(name)).digest("hex");
}
