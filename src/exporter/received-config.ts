/** A config on its way into the stores: what is worked out about it is worked out once, however many stores there are. */

import type { Log } from "../core/log.ts";
import { matchConfigHash } from "../kong/config-hash.ts";
import { countEntities, type EntityCounts } from "../kong/entity-counts.ts";
import type { ConfigUpdate } from "../kong/reconfigure.ts";
import type { KongVersion } from "../kong/version.ts";
import type { Provenance } from "../snapshots/order.ts";
import { type NewSnapshot, type SnapshotMetadata, sha256 } from "../snapshots/snapshot.ts";

export interface ReceivedConfigOptions {
  readonly kongVersion: KongVersion;
  /** Node id under which this exporter is known to the control plane, and in what it saves. */
  readonly exporterId: string;
  /** Kong's hash is recomputed for configs up to this length, bytes; 0: never. */
  readonly hashCheckMaxBytes: number;
  readonly log: Log;
}

/** When a config came. */
export interface Receipt {
  /** Grows with each config received. */
  readonly order: number;
  readonly at: Date;
  /** By the monotonic clock. */
  readonly monotonicMs: number;
  /** When the session began that it came in, by the monotonic clock. */
  readonly sessionSinceMs: number;
}

/** How many payloads are remembered. */
const MAX_REMEMBERED = 100;

/** Which payloads came, in their order: whatever their timestamps say. */
export class Lineage {
  readonly #orders = new Map<string, number>();

  add({ configHash, timestamp }: ConfigUpdate, { order }: Receipt): void {
    const payload = nameOf(configHash, timestamp);
    if (payload === undefined) return;
    this.#orders.delete(payload);
    this.#orders.set(payload, order);
    const [oldest] = this.#orders.keys();
    if (this.#orders.size > MAX_REMEMBERED && oldest !== undefined) this.#orders.delete(oldest);
  }

  /** Whether `stored`, that very payload, came before the one with this order. */
  hasBefore(order: number, { configHash, controlPlaneTimestamp }: SnapshotMetadata): boolean {
    const payload = nameOf(configHash, controlPlaneTimestamp);
    const found = payload === undefined ? undefined : this.#orders.get(payload);
    return found !== undefined && found < order;
  }
}

/** A config may come again, later: only with its timestamp it is one payload. */
function nameOf(hash: string | undefined, timestamp: number | undefined): string | undefined {
  return hash === undefined || timestamp === undefined
    ? undefined
    : `${hash} ${timestamp.toFixed(3)}`;
}

export class ReceivedConfig {
  readonly update: ConfigUpdate;
  readonly receipt: Receipt;
  readonly provenance: Provenance;
  readonly #options: ReceivedConfigOptions;
  #snapshot: NewSnapshot | undefined;
  #counts: EntityCounts | undefined;

  /** `lineage`: of all that this exporter received. */
  constructor(
    update: ConfigUpdate,
    receipt: Receipt,
    lineage: Lineage,
    options: ReceivedConfigOptions,
  ) {
    this.update = update;
    this.receipt = receipt;
    this.provenance = {
      asOfMs: receipt.sessionSinceMs,
      follows: (stored) => lineage.hasBefore(receipt.order, stored),
    };
    this.#options = options;
  }

  /** The same for the same config. */
  get id(): string {
    return this.update.configHash ?? sha256(this.update.configTable);
  }

  get counts(): EntityCounts {
    this.#counts ??= countEntities(this.update.configTable);
    return this.#counts;
  }

  /** As it is to be saved under this token, rehearsed or not. The first call logs it if the config does not have the hash that Kong gave. */
  snapshot(fencingToken: number, rehearsed: boolean): NewSnapshot {
    this.#snapshot ??= this.#describe();
    const { config, metadata } = this.#snapshot;
    return { config, metadata: { ...metadata, fencingToken, rehearsed } };
  }

  #describe(): NewSnapshot {
    const { kongVersion, exporterId, hashCheckMaxBytes, log } = this.#options;
    const { configTable: config, configHash, hashes, timestamp, clusterId } = this.update;
    const hashMatch = matchConfigHash(config, configHash, kongVersion, hashCheckMaxBytes);
    if (hashMatch === "false") {
      log.warn(
        { configHash, kongVersion },
        "config does not hash to what the control plane says: normal if it was rewritten for an older Kong version",
      );
    }
    return {
      config,
      metadata: {
        kongVersion,
        configHash,
        hashes,
        hashMatch,
        sha256: sha256(config),
        bytes: config.length,
        clusterId,
        // Raised from there on, it tells the order even if our own clock is set back.
        controlPlaneTimestamp: timestamp ?? this.receipt.at.getTime() / 1000,
        exportedAt: this.receipt.at,
        exporterId,
        fencingToken: 0,
        rehearsed: false,
        entities: this.counts,
      },
    };
  }
}
