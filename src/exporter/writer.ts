/** Keeps one store up to date with what is received, as long as it is elected to; else it stands by with the newest config in memory. */

import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { Election, Leadership } from "../election/port.ts";
import type { KongVersion } from "../kong/version.ts";
import type { SnapshotMetadata } from "../snapshots/snapshot.ts";
import type { Arrival } from "./arrival.ts";
import type { WriterMetrics, WriterStatus } from "./metrics.ts";
import { Replica, type ReplicaOptions } from "./replica.ts";
import { type SaveResult, type SaveRetry, Saver } from "./saver.ts";
import { standBy } from "./stand-by.ts";

export interface ReplicaWriterOptions extends ReplicaOptions {
  /** Disposed of at the end of `run`. */
  readonly election: Election;
  readonly store: string;
  readonly kongVersion: KongVersion;
  readonly exportDelayMs: number;
  readonly retry: SaveRetry;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: WriterMetrics;
}

/** What is known to lie in the store, whoever saved it. */
export interface Stored {
  readonly configHash: string | undefined;
  /** When it was saved, or last known to lie there. */
  readonly at: Date;
  /** Undefined for what was found there. */
  readonly arrival?: Arrival;
}

export class ReplicaWriter {
  readonly #options: ReplicaWriterOptions;
  readonly #replica: Replica;
  readonly #saver: Saver<Arrival>;
  #onStored: (stored: Stored) => void = () => {};
  #newest: Arrival | undefined;
  /** Since when the store lacks the newest config, by the monotonic clock. */
  #lackingSinceMs: number | undefined;
  #leadership: Leadership | undefined;
  #stored: Stored | undefined;

  constructor(options: ReplicaWriterOptions) {
    this.#options = options;
    this.#replica = new Replica(options);
    this.#saver = new Saver({ ...options, save: (arrival, signal) => this.#save(arrival, signal) });
  }

  /** Whether the store is known to hold a good snapshot, saved by this process or another one. */
  get hasSaved(): boolean {
    return this.#stored !== undefined;
  }

  get status(): WriterStatus {
    const { store, kongVersion } = this.#options;
    return {
      store,
      kongVersion,
      leadership: this.#leadership,
      lagMs: this.#lagMs(),
      heldBy: this.#leadership?.kind === "holder" ? this.#replica.heldBy : undefined,
    };
  }

  /** Replaces whatever still waits: only the newest counts. */
  offer(arrival: Arrival): void {
    this.#newest = arrival;
    const leadership = this.#leadership;
    if (leadership?.kind === "holder") {
      if (!this.#replica.holds(arrival, leadership.token)) {
        this.#lackingSinceMs ??= arrival.receipt.monotonicMs;
      }
      this.#saver.offer(arrival);
      return;
    }
    this.#lackingSinceMs ??= arrival.receipt.monotonicMs;
    const { configHash } = arrival.update;
    if (this.#stored !== undefined && this.#stored.configHash === configHash) {
      this.#onStored(this.#stored);
    }
  }

  /**
   * Takes part in the election until `stop` aborts; then the holder saves what is pending, for as
   * long as `deadline` allows, and only then gives up the lease. Resolves to whether nothing was left
   * unsaved, or another one is there to save it. Rejects with ELECTION_UNSAFE; with others for a bug.
   */
  async run(
    onStored: (stored: Stored) => void,
    stop: AbortSignal,
    deadline: AbortSignal,
  ): Promise<boolean> {
    await using election = this.#options.election;
    this.#onStored = onStored;
    const over = new AbortController();
    const onStop = () => {
      if (!this.#isNeeded()) over.abort(stop.reason);
    };
    const onDeadline = () => {
      // A holder's last write ends with the deadline, too, and then its lease.
      if (this.#leadership?.kind !== "holder") over.abort(deadline.reason);
    };
    stop.addEventListener("abort", onStop, { once: true });
    deadline.addEventListener("abort", onDeadline, { once: true });
    let duty = IDLE;
    try {
      if (stop.aborted) onStop();
      for await (const leadership of election.campaign(over.signal)) {
        await duty.end();
        duty = this.#takeUp(leadership, stop, deadline);
        duty.ended.then(
          () => stop.aborted && over.abort(stop.reason),
          (bug: unknown) => over.abort(bug),
        );
      }
    } catch (error) {
      const isOver = over.signal.aborted && error === over.signal.reason;
      if (!isOver || !stop.aborted) throw error;
    } finally {
      stop.removeEventListener("abort", onStop);
      deadline.removeEventListener("abort", onDeadline);
      await duty.end();
      if (this.#leadership?.kind === "holder") {
        this.#leadership = { kind: "follower", holder: undefined };
      }
    }
    return this.#lackingSinceMs === undefined || isAnothers(this.#leadership);
  }

  /** Whether, told to stop, there is anything left to do but to give up. */
  #isNeeded(): boolean {
    if (this.#leadership === undefined) return this.#newest !== undefined;
    return this.#leadership.kind === "holder";
  }

  #takeUp(leadership: Leadership, stop: AbortSignal, deadline: AbortSignal): Duty {
    if (isAnothers(this.#leadership) && !isAnothers(leadership)) {
      // It was the other one's to save; from now on it is ours, or nobody's.
      const lacking = leadership.kind === "holder" ? this.#newest : this.#lackingSinceMs;
      this.#lackingSinceMs = lacking === undefined ? undefined : this.#options.clock.monotonicMs();
    }
    if (leadership.kind === "follower" && leadership.holder !== undefined) {
      const { archive, log } = this.#options;
      log.info(
        { key: archive.name, holder: leadership.holder },
        "another exporter writes, standing by",
      );
    }
    this.#leadership = leadership;
    const relieved = new AbortController();
    const stopped = AbortSignal.any([stop, relieved.signal]);
    const ended =
      leadership.kind === "holder"
        ? this.#write(stopped, AbortSignal.any([deadline, relieved.signal]))
        : standBy(this.#options, (metadata) => this.#found(metadata), stopped);
    return {
      ended,
      end: () => {
        relieved.abort();
        return ended;
      },
    };
  }

  /** One term. Once it is over, no write is begun, and one under way is broken off. */
  async #write(stop: AbortSignal, deadline: AbortSignal): Promise<void> {
    await this.#recall(stop);
    if (this.#newest !== undefined) this.#saver.offer(this.#newest);
    await this.#saver.run(stop, deadline);
  }

  /** Learns what is saved already. A store that is down does not keep the exporter from following the control plane. */
  async #recall(signal: AbortSignal): Promise<void> {
    const { archive, log } = this.#options;
    try {
      const saved = await this.#replica.recall(signal);
      if (saved === undefined) return;
      const { configHash, exportedAt, bytes } = saved;
      log.info({ key: archive.name, configHash, exportedAt, bytes }, "snapshot found");
      this.#found(saved);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ServiceError)) throw error;
      log.error(
        { err: error },
        "store cannot be used yet, configs are kept in memory until it can",
      );
    }
  }

  #found(metadata: SnapshotMetadata | undefined): void {
    const at = metadata?.exportedAt ?? this.#options.clock.now();
    this.#stored = { configHash: metadata?.configHash, at };
    this.#onStored(this.#stored);
  }

  async #save(arrival: Arrival, signal: AbortSignal): Promise<SaveResult> {
    const { clock, log } = this.#options;
    if (this.#leadership?.kind !== "holder") throw new TypeError("saving without the lease");
    const result = await this.#replica.save(arrival, this.#leadership.token, signal);
    this.#lackingSinceMs = this.#newest === arrival ? undefined : this.#newest?.receipt.monotonicMs;
    if (result === "saved" || result === "unchanged") {
      const { configHash } = arrival.update;
      if (result === "unchanged") log.debug({ configHash }, "config unchanged, nothing to save");
      this.#stored = { configHash, at: clock.now(), arrival };
      this.#onStored(this.#stored);
    }
    return result;
  }

  #lagMs(): number | undefined {
    if (isAnothers(this.#leadership)) return undefined;
    if (this.#lackingSinceMs === undefined) return 0;
    return this.#options.clock.monotonicMs() - this.#lackingSinceMs;
  }
}

/** What is done as long as the leadership stays as it is. */
interface Duty {
  /** Resolves once told to stop and done, or relieved. Rejects only for a bug. */
  readonly ended: Promise<void>;
  /** Relieves, and resolves as `ended`. */
  end(): Promise<void>;
}

const IDLE: Duty = { ended: Promise.resolve(), end: async () => {} };

function isAnothers(leadership: Leadership | undefined): boolean {
  return leadership?.kind === "follower" && leadership.holder !== undefined;
}
