/** One exporter as a process: the real one, wired as `export` wires it, on a machine of its own. */

import type { Log } from "../../src/core/log.ts";
import type { Election, Leadership } from "../../src/election/port.ts";
import { DEFAULT_LEASE_TTL_MS, StoreElection } from "../../src/election/store-lease.ts";
import { Exporter } from "../../src/exporter/exporter.ts";
import { ReplicaWriter } from "../../src/exporter/writer.ts";
import { Archive } from "../../src/snapshots/archive.ts";
import { leaseKey } from "../../src/snapshots/layout.ts";
import type { RetentionPolicy } from "../../src/snapshots/retention.ts";
import { PLAIN_SEAL } from "../../src/snapshots/seal/open.ts";
import { V391 } from "../fakes/config.ts";
import type { Machine } from "./machine.ts";
import type { SourcePath } from "./source-path.ts";
import type { StorePath } from "./store-path.ts";

/** Shorter than nodes of the control plane may be apart. */
const EXPORT_DELAY_MS = 2_000;
const SAVE_RETRY = { minMs: 500, maxMs: 5_000 };
const SHUTDOWN_MS = 10_000;
export const MAX_CONFIG_BYTES = 100_000;

export interface ExporterProcessOptions {
  readonly id: string;
  readonly machine: Machine;
  readonly path: StorePath;
  readonly source: SourcePath;
  readonly retention: RetentionPolicy;
  readonly random: () => number;
  readonly log: Log;
  readonly onLeadership: (leadership: Leadership) => void;
}

export class ExporterProcess {
  readonly id: string;
  readonly machine: Machine;
  readonly path: StorePath;
  readonly source: SourcePath;
  leadership: Leadership | undefined;
  /** Set once it has ended by itself; `error` is a bug. */
  ended: { readonly error: unknown } | undefined;
  isStopping = false;
  readonly #stop = new AbortController();
  readonly #deadline = new AbortController();

  constructor(options: ExporterProcessOptions) {
    const { id, machine, path, source } = options;
    this.id = id;
    this.machine = machine;
    this.path = path;
    this.source = source;
    const exporter = wire(options, (leadership) => {
      this.leadership = leadership;
      options.onLeadership(leadership);
    });
    exporter.run(this.#stop.signal, this.#deadline.signal).then(
      () => this.#end(undefined),
      (error: unknown) => this.#end(error),
    );
  }

  get isRunning(): boolean {
    return this.ended === undefined && !this.machine.isDead;
  }

  /** Neither standing still nor gone: if it believes to be the holder, it may write. */
  get isActiveHolder(): boolean {
    return this.isRunning && this.machine.isAwake && this.leadership?.kind === "holder";
  }

  /** As SIGTERM does. */
  terminate(): void {
    this.isStopping = true;
    this.#stop.abort(new Error("SIGTERM"));
    this.machine.after(SHUTDOWN_MS, () => this.#deadline.abort(new Error("deadline")));
  }

  #end(error: unknown): void {
    this.ended = { error };
    this.leadership = undefined;
  }
}

function wire(options: ExporterProcessOptions, tell: (leadership: Leadership) => void): Exporter {
  const { id, machine: clock, path: store, source, retention, random, log } = options;
  const kongVersion = V391;
  const maxConfigBytes = MAX_CONFIG_BYTES;
  const archive = new Archive({
    store,
    kongVersion,
    seal: PLAIN_SEAL,
    maxConfigBytes,
    keepHistory: true,
    log,
  });
  const conditional = async () => true;
  const election = new StoreElection({
    store,
    key: leaseKey(kongVersion),
    exporter: { id, hostname: clock.name },
    ttlMs: DEFAULT_LEASE_TTL_MS,
    floor: (signal) => archive.highestToken(signal),
    ...{ conditional, clock, random, log },
  });
  const writer = new ReplicaWriter({
    election: overheard(election, tell),
    store: store.url,
    guard: { kind: "off" },
    exportDelayMs: EXPORT_DELAY_MS,
    retry: SAVE_RETRY,
    metrics: { wrote: () => {}, saveFailed: () => {}, held: () => {} },
    ...{ archive, kongVersion, conditional, retention, clock, log },
  });
  return new Exporter({
    writers: [writer],
    exporterId: id,
    hashCheckMaxBytes: 0,
    metrics: { connected: () => {}, received: () => {}, rejected: () => {}, saved: () => {} },
    ...{ source, kongVersion, clock, random, log },
  });
}

function overheard(election: Election, tell: (leadership: Leadership) => void): Election {
  return {
    name: election.name,
    async *campaign(signal) {
      // From then on it only gives up the lease; it has written its last.
      const onAbort = () => tell({ kind: "follower", holder: undefined });
      signal.addEventListener("abort", onAbort, { once: true });
      for await (const leadership of election.campaign(signal)) {
        tell(leadership);
        yield leadership;
      }
    },
    [Symbol.asyncDispose]: () => election[Symbol.asyncDispose](),
  };
}
