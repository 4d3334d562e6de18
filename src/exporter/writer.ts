/** Keeps one store up to date with what is received, as long as it is elected to; else it stands by with the newest config in memory. */

import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { Backoff, type BackoffPolicy, keepTrying } from "../core/trying.ts";
import { forever, Mailbox, Scope } from "../core/waiting.ts";
import type { Election, Leadership } from "../election/port.ts";
import type { KongVersion } from "../kong/version.ts";
import { SnapshotError } from "../snapshots/errors.ts";
import { metadataOf } from "../snapshots/sighting.ts";
import type { SnapshotMetadata } from "../snapshots/snapshot.ts";
import type { Version } from "../store/port.ts";
import {
  GatedArchive,
  type GatedArchiveOptions,
  type SaveResult,
  type WriteRefusal,
} from "./gated-archive.ts";
import type { WriterMetrics, WriterStatus } from "./metrics.ts";
import type { ReceivedConfig } from "./received-config.ts";

export interface WriterOptions extends GatedArchiveOptions {
  /** Disposed of at the end of `run`. */
  readonly election: Election;
  readonly store: string;
  readonly kongVersion: KongVersion;
  /** Least time between two writes, milliseconds. */
  readonly exportDelayMs: number;
  /** While the store does not take a config. */
  readonly retry: BackoffPolicy;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
  readonly metrics: WriterMetrics;
}

/** What is known to lie in the store, whoever saved it. */
export interface Stored {
  readonly configHash: string | undefined;
  /** When it was saved, or last known to lie there. */
  readonly at: Date;
  /** Undefined for what was found there. */
  readonly config?: ReceivedConfig;
}

/** Who drives a writer. */
export interface WriterHost {
  onStored(stored: Stored): void;
  /**
   * The newest config is not to be trusted before one has come in a session that began at `sinceMs`,
   * by the monotonic clock, or later: to be offered, be it the same. Idempotent.
   */
  askAnew(sinceMs: number): void;
}

/** After SIGTERM there are only seconds left to save what is pending. */
const LAST_RETRY: BackoffPolicy = { minMs: 100, maxMs: 1_000 };
/** While standing by, between two looks at what another one saved. */
const LOOK_MS = 30_000;

export class Writer {
  readonly #options: WriterOptions;
  readonly #gated: GatedArchive;
  #host: WriterHost = { onStored: () => {}, askAnew: () => {} };
  #newest: ReceivedConfig | undefined;
  /** What waits to be saved, or is being saved; a newer one takes its place. */
  readonly #pending = new Mailbox<ReceivedConfig>();
  #stored: Stored | undefined;
  #hasLooked = false;
  /** Since when the store lacks the newest config, by the monotonic clock. */
  #lackingSinceMs: number | undefined;
  #leadership: Leadership | undefined;
  /** Why the newest config may not be saved; undefined where nothing is known to forbid it. */
  #refusal: WriteRefusal | undefined;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#gated = new GatedArchive(options);
  }

  /** Whether the store is known to hold a good snapshot, saved by this process or another one. */
  get hasSaved(): boolean {
    return this.#stored !== undefined;
  }

  /** Whether it is known what lies in the store, if only that there is nothing usable. */
  get hasLooked(): boolean {
    return this.#hasLooked;
  }

  get status(): WriterStatus {
    const { store, kongVersion } = this.#options;
    return {
      store,
      kongVersion,
      leadership: this.#leadership,
      lagMs: this.#lagMs(),
      heldBy: this.#leadership?.kind === "holder" ? this.#gated.heldBy : undefined,
      refusedBy: this.#leadership?.kind === "holder" ? this.#refusal?.kind : undefined,
    };
  }

  /** Replaces whatever still waits: only the newest counts. */
  offer(config: ReceivedConfig): void {
    this.#newest = config;
    this.#pending.put(config);
    const leadership = this.#leadership;
    const isHolder = leadership?.kind === "holder";
    if (!isHolder || !this.#gated.holds(config, leadership.token)) {
      this.#lackingSinceMs ??= config.receipt.monotonicMs;
    }
    const stored = this.#stored;
    if (!isHolder && stored !== undefined && stored.configHash === config.update.configHash) {
      this.#host.onStored(stored);
    }
  }

  /**
   * Takes part in the election until `stop` aborts; then the holder saves what is pending, for as
   * long as `deadline` allows, and only then gives up the lease. Resolves to whether nothing was left
   * unsaved, or another one is there to save it. Rejects with ELECTION_UNSAFE; with others for a bug.
   */
  async run(host: WriterHost, stop: AbortSignal, deadline: AbortSignal): Promise<boolean> {
    await using election = this.#options.election;
    this.#host = host;
    using campaign = new Scope();
    const take = (duty: Duty): Relief => {
      const [stopped, cutOff] = [new Scope(stop), new Scope(deadline)];
      const done = duty(stopped.signal, cutOff.signal);
      done.then(
        () => stop.aborted && campaign.end(stop.reason),
        (bug: unknown) => campaign.end(bug),
      );
      return async () => {
        stopped.end();
        cutOff.end();
        await done;
      };
    };
    let relieve = take((stopped, cutOff) => this.#awaitElection(stopped, cutOff));
    try {
      for await (const leadership of election.campaign(campaign.signal)) {
        await relieve();
        relieve = take(this.#dutyOf(leadership));
      }
    } catch (error) {
      const isOver = campaign.isOver && error === campaign.signal.reason;
      if (!isOver || !stop.aborted) throw error;
    } finally {
      await relieve();
      if (this.#leadership?.kind === "holder") {
        this.#leadership = { kind: "follower", holder: undefined };
      }
    }
    return this.#lackingSinceMs === undefined || isAnothers(this.#leadership);
  }

  /** Until it is known who writes. Told to stop meanwhile, there is nothing to wait for unless there is something to save. */
  async #awaitElection(stop: AbortSignal, deadline: AbortSignal): Promise<void> {
    await aborted(stop);
    if (this.#newest !== undefined) await aborted(deadline);
  }

  #dutyOf(leadership: Leadership): Duty {
    const { archive, clock, log } = this.#options;
    if (isAnothers(this.#leadership) && !isAnothers(leadership)) {
      // It was the other one's to save; from now on it is ours, or nobody's.
      const lacking = leadership.kind === "holder" ? this.#newest : this.#lackingSinceMs;
      this.#lackingSinceMs = lacking === undefined ? undefined : clock.monotonicMs();
    }
    this.#leadership = leadership;
    this.#refusal = undefined;
    if (leadership.kind === "holder") {
      return (stop, deadline) => this.#write(leadership.token, stop, deadline);
    }
    const { holder } = leadership;
    if (holder !== undefined) {
      log.info({ key: archive.name, holder }, "another exporter writes, standing by");
    }
    return (stop) => this.#standBy(stop);
  }

  /**
   * One term: saves the first config at once, then the newest, at most one per export delay. Told to
   * stop, it saves what is pending without any delay. A write under way may still finish until
   * `deadline`; after that none is begun, and one under way is broken off.
   */
  async #write(token: number, stop: AbortSignal, deadline: AbortSignal): Promise<void> {
    const { archive, clock, exportDelayMs, random, retry } = this.#options;
    await this.#recall(stop);
    if (this.#newest !== undefined) this.#pending.put(this.#newest);
    const refusals = new Backoff(random);
    try {
      for (;;) {
        await this.#pending.newest(stop);
        const result = await this.#saveNewest(token, retry, stop, deadline);
        if (result.kind === "refused") {
          await this.#pending.changed(refusals.failed(retry), clock, stop);
          continue;
        }
        refusals.succeeded();
        const isKept = (result.kind !== "saved" && result.kind !== "unchanged") || archive.isKept;
        if (!isKept && this.#newest !== undefined) this.#pending.put(this.#newest);
        if (result.kind === "saved" || !isKept) await clock.sleep(exportDelayMs, stop);
      }
    } catch (error) {
      // A write under way was cut off by the deadline, or by nothing we know.
      if (!stop.aborted || (error !== stop.reason && !deadline.aborted)) throw error;
    }
    try {
      if (!deadline.aborted) await this.#saveNewest(token, LAST_RETRY, deadline, deadline);
    } catch (error) {
      if (!deadline.aborted) throw error;
    }
  }

  /** Learns what is saved already. A store that is down does not keep the exporter from following the control plane. */
  async #recall(signal: AbortSignal): Promise<void> {
    const { archive, log } = this.#options;
    try {
      const saved = await this.#gated.recall(signal);
      this.#hasLooked = true;
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

  /**
   * Tries again without end, each time with the newest: while the store is down, older ones are
   * overtaken. `signal` ends the waiting between attempts, `deadline` an attempt itself.
   */
  async #saveNewest(
    token: number,
    backoff: BackoffPolicy,
    signal: AbortSignal,
    deadline: AbortSignal,
  ): Promise<SaveResult> {
    const { clock, random, log, metrics } = this.#options;
    const trying = { backoff, clock, random, isWorthRetrying: () => true };
    return keepTrying(trying, signal, async (_, attempt) => {
      const config = this.#pending.peek();
      if (config === undefined) return { kind: "unchanged" };
      try {
        const result = await this.#gated.save(config, token, deadline);
        if (result.kind === "refused") this.#refused(config, result.refusal);
        else this.#settled(config, result);
        return result;
      } catch (error) {
        if (error instanceof ServiceError) {
          metrics.saveFailed(error.code);
          log.error({ err: error, attempt }, "config not saved, kept in memory, will try again");
        }
        throw error;
      }
    });
  }

  /** It is kept, and tried again. */
  #refused({ update: { configHash } }: ReceivedConfig, refusal: WriteRefusal): void {
    const { archive, log } = this.#options;
    const isNews = this.#refusal?.kind !== refusal.kind;
    this.#refusal = refusal;
    const { stored } = refusal;
    const fields = { key: archive.name, configHash, stored };
    switch (refusal.kind) {
      case "unconfirmed":
        this.#host.askAnew(refusal.sinceMs);
        if (isNews) {
          log.warn(
            fields,
            "config not saved yet: another one lies there, the control plane is asked anew which is the newer one",
          );
        }
        return;
      case "stale":
        if (isNews) {
          log.error(
            { ...fields, storedToken: refusal.storedToken },
            "config not saved: another exporter has taken over, kept in memory, will try again",
          );
        }
        return;
      default:
        refusal satisfies never;
    }
  }

  #settled(config: ReceivedConfig, { kind }: SaveResult): void {
    const { clock, log } = this.#options;
    this.#pending.remove(config);
    this.#refusal = undefined;
    this.#lackingSinceMs = this.#newest === config ? undefined : this.#newest?.receipt.monotonicMs;
    if (kind !== "saved" && kind !== "unchanged") return;
    const { configHash } = config.update;
    if (kind === "unchanged") log.debug({ configHash }, "config unchanged, nothing to save");
    this.#stored = { configHash, at: clock.now(), config };
    this.#host.onStored(this.#stored);
  }

  /** While another exporter writes, looks at what that one saved: so that this one, too, is ready, and tells the control plane what is saved. */
  async #standBy(stop: AbortSignal): Promise<void> {
    const { archive, clock, log } = this.#options;
    let seen: Version | undefined;
    try {
      for (;;) {
        try {
          const found = await archive.sight(seen, stop);
          this.#hasLooked = true;
          seen = found?.version ?? seen;
          if (found !== undefined) this.#found(metadataOf(found));
        } catch (error) {
          if (!(error instanceof ServiceError)) throw error;
          if (error instanceof SnapshotError) this.#hasLooked = true;
          log.debug({ err: error }, "standing by, what is saved cannot be seen");
        }
        await clock.sleep(LOOK_MS, stop);
      }
    } catch (error) {
      if (!stop.aborted) throw error;
    }
  }

  #found(metadata: SnapshotMetadata | undefined): void {
    const at = metadata?.exportedAt ?? this.#options.clock.now();
    this.#stored = { configHash: metadata?.configHash, at };
    this.#host.onStored(this.#stored);
  }

  #lagMs(): number | undefined {
    if (isAnothers(this.#leadership)) return undefined;
    if (this.#lackingSinceMs === undefined) return 0;
    return this.#options.clock.monotonicMs() - this.#lackingSinceMs;
  }
}

/** What is done as long as the leadership stays as it is. Resolves once told to stop and done, or cut off by `deadline`; rejects only for a bug. */
type Duty = (stop: AbortSignal, deadline: AbortSignal) => Promise<void>;

/** Ends a duty, and resolves once it is over. Rejects as the duty does. */
type Relief = () => Promise<void>;

function aborted(signal: AbortSignal): Promise<void> {
  return forever(signal).catch(() => {});
}

function isAnothers(leadership: Leadership | undefined): boolean {
  return leadership?.kind === "follower" && leadership.holder !== undefined;
}
