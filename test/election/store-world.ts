/** The world of the conformance suite for the election by a lease in a store, over whatever store is given. */

import { setImmediate } from "node:timers/promises";
import type { Log } from "../../src/core/log.ts";
import { StoreElection, type StoreElectionOptions } from "../../src/election/store.ts";
import { parseKongVersion } from "../../src/kong/version.ts";
import { leaseKey } from "../../src/snapshots/layout.ts";
import type { Store } from "../../src/store/port.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { PausableClock, Pause } from "../fakes/pause.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { seededRandom } from "../fakes/seeded-random.ts";
import { StoreLink } from "../fakes/store-link.ts";
import { Runner, Stage } from "./conformance/stage.ts";
import type { Contender, World } from "./conformance.ts";

const kongVersion = parseKongVersion("3.9.1");
if (kongVersion === undefined) throw new Error("3.9.1 is a version");
export const KEY = leaseKey(kongVersion);

export const TTL_MS = 15_000;
/** A lease, and the followers' longest poll after it. */
export const TAKEOVER_MS = TTL_MS + 6_000;

export interface StoreContender extends Contender {
  readonly link: StoreLink;
  readonly log: RecordingLog;
}

export class StoreWorld implements World {
  readonly leaseMs = TTL_MS;
  /** A look after up to 5 s, and another one up to 1 s after a race that was lost. */
  readonly pollMs = 6_000;
  readonly clock = new ManualClock();
  readonly store: Store;
  /** Of everybody who joins from now on. */
  options: Partial<StoreElectionOptions> = {};
  /** In this order. */
  readonly joined: StoreContender[] = [];
  readonly #links: StoreLink[] = [];

  /** Disposes of `store`. */
  constructor(store: Store) {
    this.store = store;
  }

  async join(options: Partial<StoreElectionOptions> = {}): Promise<StoreContender> {
    const pause = new Pause();
    const link = new StoreLink(this.store, pause);
    const log = new RecordingLog();
    this.#links.push(link);
    const place = this.#links.length;
    const election = new StoreElection({
      ...electionOptions(link, `exporter-${place}`, log),
      clock: new PausableClock(this.clock, pause),
      random: seededRandom(place),
      ...this.options,
      ...options,
    });
    const contender: StoreContender = {
      election,
      link,
      log,
      get requests() {
        return link.requests;
      },
      pause: () => pause.begin(),
      resume: () => pause.end(),
      cutOff: (how) => link.cut(how),
      reconnect: () => link.mend(),
      loseNextAnswer: (how) => link.loseNextAnswer(how),
      holdNextWrite: () => link.holdNextWrite(),
    };
    this.joined.push(contender);
    return contender;
  }

  /** The judge of the conformance suite over this world. */
  stage(): Promise<Stage> {
    return Stage.open({ open: async () => this });
  }

  /** One that campaigns, and is judged by nobody. */
  async run(options: Partial<StoreElectionOptions> = {}) {
    const contender = await this.join(options);
    const runner = new Runner(contender, () => {});
    await this.advance(0);
    return { runner, contender, log: contender.log };
  }

  /** Lets time pass in small steps. */
  async pass(ms: number): Promise<void> {
    for (let passedMs = 0; passedMs < ms; passedMs += 100) await this.advance(100);
  }

  get quietMs(): number {
    return this.clock.quietMs;
  }

  async advance(ms: number): Promise<void> {
    await this.#settle();
    await this.clock.advance(ms);
    await this.#settle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
  }

  /** Until nothing is under way: what an answer sets off may be the next question. */
  async #settle(): Promise<void> {
    for (;;) {
      for (let turns = 0; turns < 3; turns += 1) await setImmediate();
      const before = this.#requests();
      await Promise.all(this.#links.map((link) => link.settle()));
      await setImmediate();
      if (this.#requests() === before) return;
    }
  }

  #requests(): number {
    return this.#links.reduce((sum, { requests }) => sum + requests, 0);
  }
}

/** Of an exporter on `store` that nothing else is known of; the clock stands for itself. */
export function electionOptions(
  store: Store,
  id: string,
  log: Log,
): Omit<StoreElectionOptions, "clock" | "random"> {
  return {
    store,
    key: KEY,
    exporter: { id, hostname: `host-of-${id}` },
    ttlMs: TTL_MS,
    floor: async () => 0,
    conditional: async () => true,
    log,
  };
}
