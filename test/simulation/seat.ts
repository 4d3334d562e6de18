/** One exporter process's part in one store: its way there, its election, its writer. */

import type { Log } from "../../src/core/log.ts";
import type { Election, Leadership } from "../../src/election/port.ts";
import { StoreElection } from "../../src/election/store.ts";
import type { Gate } from "../../src/exporter/gates.ts";
import { parseGuardPolicy } from "../../src/exporter/guard.ts";
import { Writer } from "../../src/exporter/writer.ts";
import { Archive } from "../../src/snapshots/archive.ts";
import { leaseKey } from "../../src/snapshots/layout.ts";
import type { RetentionPolicy } from "../../src/snapshots/retention.ts";
import type { Seal } from "../../src/snapshots/seal/seal.ts";
import { V391 } from "../fakes/config.ts";
import type { Machine } from "./machine.ts";
import type { StorePath } from "./store-path.ts";
import type { Variant } from "./variant.ts";

/** Shorter than nodes of the control plane may be apart. */
const EXPORT_DELAY_MS = 2_000;
/** That of KONG_FALLBACK_LEASE_TTL where it is not set. */
export const LEASE_TTL_MS = 15_000;
const SAVE_RETRY = { minMs: 500, maxMs: 5_000 };
export const MAX_CONFIG_BYTES = 100_000;

export interface SeatOptions {
  readonly id: string;
  readonly machine: Machine;
  readonly path: StorePath;
  /** To where the lease lies. */
  readonly leasePath: StorePath;
  readonly seal: Seal;
  readonly variant: Variant;
  readonly gates: readonly Gate[];
  readonly retention: RetentionPolicy;
  readonly random: () => number;
  readonly log: Log;
  readonly onLeadership: (leadership: Leadership) => void;
}

export class Seat {
  readonly machine: Machine;
  readonly path: StorePath;
  readonly leasePath: StorePath;
  readonly writer: Writer;
  leadership: Leadership | undefined;

  constructor(options: SeatOptions) {
    const { machine, path, leasePath } = options;
    this.machine = machine;
    this.path = path;
    this.leasePath = leasePath;
    this.writer = wire(options, (leadership) => {
      this.leadership = leadership;
      options.onLeadership(leadership);
    });
  }

  /** Neither standing still nor gone: if it believes to be the holder, it may write. */
  get isActiveHolder(): boolean {
    return this.machine.isAwake && this.leadership?.kind === "holder";
  }
}

function wire(options: SeatOptions, tell: (leadership: Leadership) => void): Writer {
  const { id, machine: clock, path: store, leasePath, seal, variant, gates, random } = options;
  const { retention, log } = options;
  const kongVersion = V391;
  const maxConfigBytes = MAX_CONFIG_BYTES;
  const archive = new Archive({
    ...{ store, kongVersion, seal, maxConfigBytes, clock, log },
    keepHistory: true,
  });
  const conditional = async () => true;
  const candidate = {
    exporter: { id, hostname: clock.name },
    ttlMs: LEASE_TTL_MS,
    floor: (signal: AbortSignal) => archive.highestToken(signal),
    ...{ clock, random, log },
  };
  const election =
    variant.election?.(candidate, leasePath) ??
    new StoreElection({ ...candidate, store: leasePath, key: leaseKey(kongVersion), conditional });
  const guard = variant.gates?.guard ? parseGuardPolicy("*=50") : undefined;
  return new Writer({
    election: overheard(election, tell),
    store: store.url,
    guard: guard ?? { kind: "off" },
    exportDelayMs: EXPORT_DELAY_MS,
    retry: SAVE_RETRY,
    ...(variant.isNeglected ? { checkMs: 1e9 } : {}),
    metrics: { wrote: () => {}, saveFailed: () => {}, held: () => {}, mended: () => {} },
    ...{ archive, gates, kongVersion, conditional, retention, clock, random, log },
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
