/** An exporter over memory stores, under a clock that the test moves. */

import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import type { Clock } from "../../src/core/clock.ts";
import type { BackoffPolicy } from "../../src/core/trying.ts";
import { NoElection } from "../../src/election/none.ts";
import type { Election } from "../../src/election/port.ts";
import { StoreElection } from "../../src/election/store.ts";
import { Exporter } from "../../src/exporter/exporter.ts";
import type { Candidate, Gate } from "../../src/exporter/gates.ts";
import { parseGuardPolicy } from "../../src/exporter/guard.ts";
import { Lineage, ReceivedConfig } from "../../src/exporter/received-config.ts";
import { Writer } from "../../src/exporter/writer.ts";
import { computeConfigHash } from "../../src/kong/config-hash.ts";
import type { ConfigUpdate } from "../../src/kong/reconfigure.ts";
import { Archive } from "../../src/snapshots/archive.ts";
import { leaseKey } from "../../src/snapshots/layout.ts";
import type { RetentionPolicy } from "../../src/snapshots/retention.ts";
import { PLAIN_SEAL, type Seal } from "../../src/snapshots/seal/seal.ts";
import { type Store, StoreError } from "../../src/store/port.ts";
import { V391 } from "../fakes/config.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { ScriptedSource } from "../fakes/scripted-source.ts";

export const KEY = "3.9.1/config.json";
export const DELAY_MS = 60_000;
const TTL_MS = 15_000;
/** A lease period, and what a follower's looking takes. */
export const TAKEOVER_MS = TTL_MS + 7_000;

export interface StageOptions {
  /** The only one; by default a fresh one. */
  readonly store?: MemoryStore;
  /** Instead of `store`. */
  readonly stores?: readonly Store[];
  readonly clock?: ManualClock;
  /** As this process sees it; `clock` by default. */
  readonly ownClock?: Clock;
  readonly id?: string;
  readonly exportDelayMs?: number;
  readonly hashCheckMaxBytes?: number;
  readonly guard?: string;
  readonly seal?: Seal;
  readonly gates?: readonly Gate[];
  readonly retention?: RetentionPolicy;
  readonly retry?: BackoffPolicy;
  readonly random?: () => number;
  readonly conditional?: boolean;
  /** By a lease in each store; absent: none. */
  readonly lease?: boolean;
}

export function setUp(options: StageOptions = {}) {
  const clock = options.clock ?? new ManualClock();
  const ownClock = options.ownClock ?? clock;
  const log = new RecordingLog();
  const source = new ScriptedSource();
  const seen: string[] = [];
  const { random = () => 0 } = options;
  const id = options.id ?? "exporter-1";
  const guard = parseGuardPolicy(options.guard ?? "off");
  assert.ok(guard);
  const store = options.store ?? new MemoryStore();
  const stores = options.stores ?? [store];
  const conditional = async () => options.conditional ?? true;
  const writers = stores.map((store) => {
    const archive = new Archive({
      store,
      kongVersion: V391,
      seal: options.seal ?? PLAIN_SEAL,
      maxConfigBytes: 1_000_000,
      keepHistory: true,
      clock: ownClock,
      log,
    });
    const floor = (signal: AbortSignal) => archive.highestToken(signal);
    const common = { floor, clock: ownClock, random, log };
    const exporter = { id, hostname: `host-of-${id}` };
    const election: Election = options.lease
      ? new StoreElection({
          ...common,
          store,
          key: leaseKey(V391),
          exporter,
          ttlMs: TTL_MS,
          conditional,
        })
      : new NoElection({ ...common, name: store.url });
    return new Writer({
      election,
      archive,
      store: store.url,
      kongVersion: V391,
      conditional,
      guard,
      gates: options.gates ?? [],
      retention: options.retention ?? {},
      exportDelayMs: options.exportDelayMs ?? DELAY_MS,
      retry: options.retry ?? { minMs: 1, maxMs: 2 },
      clock: ownClock,
      random,
      log,
      metrics: {
        wrote: () => seen.push("wrote"),
        saveFailed: (code) => seen.push(code),
        held: (by) => seen.push(by === "guard" ? "held" : `held by ${by}`),
        mended: () => seen.push("mended"),
      },
    });
  });
  const exporter = new Exporter({
    source,
    writers,
    kongVersion: V391,
    exporterId: id,
    hashCheckMaxBytes: options.hashCheckMaxBytes ?? 1_000_000,
    clock: ownClock,
    random,
    log,
    metrics: {
      connected: (isUp) => seen.push(isUp ? "up" : "down"),
      received: () => seen.push("received"),
      rejected: (code) => seen.push(code),
      confirmed: () => {},
      withheld: (isSo) => isSo && seen.push("withheld"),
      saved: () => seen.push("saved"),
    },
  });
  const stop = new AbortController();
  const deadline = new AbortController();
  const running = exporter.run(stop.signal, deadline.signal);
  running.catch(() => {});
  /** Resolves once it was received. */
  const send = async (update: ConfigUpdate) => {
    const received = log.find("config received").length;
    source.emitConfig(update);
    await until(clock, () => log.find("config received").length > received, 0);
  };
  /** Resolves once it is current in `store`, and what follows that, such as its history, is done. */
  const save = async (update: ConfigUpdate) => {
    const saved = log.find("snapshot saved").length;
    source.emitConfig(update);
    await until(
      clock,
      () => log.find("snapshot saved").length > saved && savedIn(store) === bytesOf(update),
    );
  };
  const end = () => {
    stop.abort();
    return running;
  };
  const status = () => exporter.replicas[0] ?? assert.fail();
  return {
    store,
    exporter,
    status,
    clock,
    log,
    source,
    seen,
    stop,
    deadline,
    running,
    send,
    save,
    end,
  };
}

/** A config that is about to become current where nothing is known. */
export function candidateOf(update: ConfigUpdate): Candidate {
  const receipt = { order: 1, at: new Date(0), monotonicMs: 0, sessionSinceMs: 0 };
  const options = { kongVersion: V391, exporterId: "e", hashCheckMaxBytes: 0 };
  const config = new ReceivedConfig(update, receipt, new Lineage(), {
    ...options,
    log: new RecordingLog(),
  });
  return { config, isCurrent: false, isRehearsed: false, currentCounts: undefined };
}

/** A config with so many services. */
export function withServices(count: number, timestamp = 1_795_220_000): ConfigUpdate {
  const services = Array.from({ length: count }, (_, place) => ({ name: `s${place}` }));
  const configTable = Buffer.from(
    JSON.stringify({ _format_version: "3.0", _transform: false, services }),
  );
  const configHash = computeConfigHash(configTable, V391);
  const hashes = { config: configHash };
  return { configTable, configHash, hashes, timestamp, clusterId: undefined };
}

/** To be a store's `intercept`. */
export async function down(): Promise<never> {
  throw new StoreError("STORE_UNAVAILABLE", "the store is down");
}

/** Of the current object; "" if there is none. */
export function savedIn(store: MemoryStore): string {
  return Buffer.from(store.objects.get(KEY)?.body ?? [])
    .toString()
    .trimEnd();
}

export function tokenIn(store: MemoryStore): number {
  return Number(store.objects.get(KEY)?.metadata["fencing-token"]);
}

/** Keys of the history, the oldest first. */
export function keptIn(store: MemoryStore): readonly string[] {
  return [...store.objects.keys()].filter((key) => key.includes("/history/")).toSorted();
}

export function heldIn(store: MemoryStore): readonly string[] {
  return keptIn(store).filter((key) => key.includes(".held."));
}

export function bytesOf(update: ConfigUpdate): string {
  return Buffer.from(update.configTable).toString();
}

/** Lets things happen, and `stepMs` at a time pass, until `condition` holds. */
export async function until(
  clock: ManualClock,
  condition: () => boolean,
  stepMs = 1,
): Promise<void> {
  while (!condition()) {
    await setImmediate();
    await clock.advance(stepMs);
  }
}
