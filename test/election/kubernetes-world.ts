/** The world of the conformance suite for the election by a Kubernetes Lease, over the wire fake of its API. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import {
  KubernetesElection,
  type KubernetesElectionOptions,
} from "../../src/election/kubernetes.ts";
import { findCluster } from "../../src/election/kubernetes-access.ts";
import type {
  KubernetesLease,
  LeaseDraft,
  LeaseResource,
} from "../../src/election/kubernetes-lease.ts";
import { ApiLeaseResource } from "../../src/election/kubernetes-lease.ts";
import { type FakeCaller, FakeLeaseApi } from "../fakes/lease-api.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { PausableClock, Pause } from "../fakes/pause.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { seededRandom } from "../fakes/seeded-random.ts";
import type { Contender, World } from "./conformance.ts";

export const TTL_MS = 15_000;
export const LEASE_NAME = "kong-fallback-exporter-3-9-1";

export interface KubernetesContender extends Contender {
  readonly election: KubernetesElection;
  readonly caller: FakeCaller;
  readonly log: RecordingLog;
}

export class KubernetesWorld implements World {
  readonly leaseMs = TTL_MS;
  /** A look after up to 4.4 s, and another one up to 1 s after a race that was lost. */
  readonly pollMs = 6_000;
  readonly clock = new ManualClock();
  readonly api: FakeLeaseApi;
  /** Of everybody who joins from now on. */
  floor: KubernetesElectionOptions["floor"] = async () => 0;
  ttlMs = TTL_MS;
  /** URL of what they write. */
  store = "memory://test";
  readonly #directory: string;
  readonly #contenders: { readonly resource: CountedResource; readonly caller: FakeCaller }[] = [];

  private constructor(api: FakeLeaseApi, directory: string) {
    this.api = api;
    this.#directory = directory;
  }

  static async open(): Promise<KubernetesWorld> {
    const directory = await mkdtemp(join(tmpdir(), "kubernetes-election-"));
    return new KubernetesWorld(await FakeLeaseApi.start(), directory);
  }

  async join(): Promise<KubernetesContender> {
    const pause = new Pause();
    const caller = this.api.connect(new Pause());
    const kubeconfig = join(this.#directory, caller.token);
    await writeFile(kubeconfig, kubeconfigText(this.api.endpoint, caller.token));
    const cluster = await findCluster({ kubeconfig });
    const resource = new CountedResource(new ApiLeaseResource(cluster, LEASE_NAME));
    this.#contenders.push({ resource, caller });
    const number = this.#contenders.length;
    const log = new RecordingLog();
    const election = new KubernetesElection({
      resource,
      store: this.store,
      exporter: { id: `exporter-${number}`, hostname: `host-${number}` },
      ttlMs: this.ttlMs,
      floor: this.floor,
      clock: new PausableClock(this.clock, pause),
      random: seededRandom(number),
      log,
    });
    return {
      election,
      caller,
      log,
      get requests() {
        return resource.begun;
      },
      pause: () => {
        pause.begin();
        caller.pause.begin();
      },
      resume: () => {
        caller.pause.end();
        pause.end();
      },
      cutOff: (how) => {
        caller.fault = how;
      },
      reconnect: () => {
        caller.fault = undefined;
        caller.loseAnswer = undefined;
      },
      loseNextAnswer: (how) => {
        caller.loseAnswer = how;
      },
      holdNextWrite: () => {
        let held: (() => void) | undefined;
        caller.holdWrite = (write) => {
          held = write;
        };
        return {
          deliver: async () => {
            if (held === undefined) throw new Error("no write was held");
            held();
          },
        };
      },
    };
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
    await this.api[Symbol.asyncDispose]();
    await rm(this.#directory, { recursive: true });
  }

  /** Until nothing is under way but what the server does not answer: what an answer sets off may be the next question. */
  async #settle(): Promise<void> {
    for (let quiet = 0; quiet < 4; ) {
      await setImmediate();
      quiet = this.#contenders.every(isSettled) ? quiet + 1 : 0;
    }
  }
}

export function kubeconfigText(server: string, token: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: { server, "insecure-skip-tls-verify": true } }],
    users: [{ name: "test", user: { token } }],
    contexts: [{ name: "test", context: { cluster: "test", user: "test", namespace: "kong" } }],
    "current-context": "test",
  });
}

/** Counts what is asked of the API server. */
class CountedResource implements LeaseResource {
  readonly #resource: LeaseResource;
  begun = 0;
  ended = 0;

  constructor(resource: LeaseResource) {
    this.#resource = resource;
  }

  get name(): string {
    return this.#resource.name;
  }

  read(signal: AbortSignal): Promise<KubernetesLease | undefined> {
    return this.#count(() => this.#resource.read(signal), signal);
  }

  write(
    draft: LeaseDraft,
    over: KubernetesLease | undefined,
    signal: AbortSignal,
  ): Promise<KubernetesLease | undefined> {
    return this.#count(() => this.#resource.write(draft, over, signal), signal);
  }

  async #count<T>(run: () => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    this.begun += 1;
    try {
      return await run();
    } finally {
      this.ended += 1;
    }
  }
}

/** Each request has reached the server, and those that are over there are over here. */
function isSettled({
  resource: { begun, ended },
  caller: { arrived, over },
}: {
  readonly resource: CountedResource;
  readonly caller: FakeCaller;
}): boolean {
  return begun === arrived && ended === over;
}
