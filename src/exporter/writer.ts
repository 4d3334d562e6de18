/** Keeps one store up to date with what is received, as long as it is elected to; else it stands by with the newest config in memory. */

import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import { FailureNews } from "../core/failure-news.ts";
import type { Log } from "../core/log.ts";
import { Backoff, type BackoffPolicy, keepTrying } from "../core/trying.ts";
import { forever, inTime, Mailbox, Scope } from "../core/waiting.ts";
import type { Election, Leadership } from "../election/port.ts";
import type { KongVersion } from "../kong/version.ts";
import { otherCluster, SnapshotError } from "../snapshots/errors.ts";
import { isOfAnotherCluster } from "../snapshots/order.ts";
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
  /** Between two looks of who writes at what lies there, on average, milliseconds; by default CHECK_MS. */
  readonly checkMs?: number;
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
  readonly clusterId: string | undefined;
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
/** Between two looks of who writes at what lies there, on average. */
export const CHECK_MS = 60_000;
/** Between two that read the body, too. */
export const WHOLE_CHECK_MS = 6 * 3_600_000;

export class Writer {
  readonly #options: WriterOptions;
  readonly #gated: GatedArchive;
  #host: WriterHost = { onStored: () => {}, askAnew: () => {} };
  #newest: ReceivedConfig | undefined;
  /** What waits to be saved, or is being saved; a newer one takes its place. */
  readonly #pending = new Mailbox<ReceivedConfig>();
  #stored: Stored | undefined;
  #hasLooked = false;
  /** When the store was last seen to hold a good snapshot, by the monotonic clock. */
  #seenGoodAtMs: number | undefined;
  #wholeCheckAtMs = 0;
  readonly #checkNews: FailureNews;
  /** Whether it was told that the store holds another cluster's. */
  #isToldForeign = false;
  /** Since when the store lacks the newest config, by the monotonic clock. */
  #lackingSinceMs: number | undefined;
  #leadership: Leadership | undefined;
  /** Why the newest config may not be saved; undefined where nothing is known to forbid it. */
  #refusal: WriteRefusal | undefined;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#gated = new GatedArchive(options);
    this.#checkNews = new FailureNews(options.clock);
  }

  /** Whether the store is known to hold a good snapshot of this cluster, saved by this process or another one. */
  get hasSaved(): boolean {
    return this.#stored !== undefined && !this.#isForeign;
  }

  /** Whether it is known what lies in the store, if only that there is nothing usable. */
  get hasLooked(): boolean {
    return this.#hasLooked;
  }

  get status(): WriterStatus {
    const { store, kongVersion, clock } = this.#options;
    const isHolder = this.#leadership?.kind === "holder";
    const seenAtMs = this.#seenGoodAtMs;
    return {
      store,
      kongVersion,
      leadership: this.#leadership,
      lagMs: this.#lagMs(),
      unseenMs: seenAtMs === undefined ? undefined : clock.monotonicMs() - seenAtMs,
      heldBy: isHolder ? this.#gated.heldBy : undefined,
      refusedBy: isHolder ? this.#refusal?.kind : this.#isForeign ? "foreign" : undefined,
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
    if (!isHolder) this.#tellForeign();
    if (!isHolder && stored !== undefined && stored.configHash === config.update.configHash) {
      this.#host.onStored(stored);
    }
  }

  /**
   * Takes part in the election until `stop` aborts; then the holder saves what is pending, for as
   * long as `deadline` allows, and only then gives up the lease. While another cluster's config lies
   * there, it gives up the lease, too: it has no use for it, and others may. Resolves to whether nothing was left
   * unsaved, or another one is there to save it. Rejects with ELECTION_UNSAFE; with others for a bug.
   */
  async run(host: WriterHost, stop: AbortSignal, deadline: AbortSignal): Promise<boolean> {
    await using election = this.#options.election;
    this.#host = host;
    for (;;) {
      await this.#campaign(election, stop, deadline);
      if (stop.aborted) return this.#lackingSinceMs === undefined || this.#isAnothersToSave;
      await this.#awaitRoom(stop);
    }
  }

  /** Until `stop` aborts, or there is nothing to be won: see `run`. */
  async #campaign(election: Election, stop: AbortSignal, deadline: AbortSignal): Promise<void> {
    using campaign = new Scope();
    const resigned = new Error("resigned");
    const take = (duty: Duty): Relief => {
      const [stopped, cutOff] = [new Scope(stop), new Scope(deadline)];
      const done = duty(stopped.signal, cutOff.signal);
      done.then(
        () => {
          if (stop.aborted) campaign.end(stop.reason);
          else if (!stopped.isOver) campaign.end(resigned);
        },
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
      if (!isOver || !(stop.aborted || error === resigned)) throw error;
    } finally {
      await relieve();
      if (this.#leadership?.kind === "holder") {
        this.#leadership = { kind: "follower", holder: undefined };
      }
    }
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
   * `deadline`; after that none is begun, and one under way is broken off. Ends by itself where another
   * cluster's config lies there.
   */
  async #write(token: number, stop: AbortSignal, deadline: AbortSignal): Promise<void> {
    const { archive, clock, exportDelayMs, random, retry } = this.#options;
    const { checkMs = CHECK_MS } = this.#options;
    await this.#recall(stop);
    if (this.#newest !== undefined) this.#pending.put(this.#newest);
    const refusals = new Backoff(random);
    const nextCheckAtMs = () => clock.monotonicMs() + checkMs * (0.75 + random() / 2);
    let checkAtMs = nextCheckAtMs();
    this.#wholeCheckAtMs = clock.monotonicMs() + WHOLE_CHECK_MS;
    try {
      for (;;) {
        const leftMs = checkAtMs - clock.monotonicMs();
        const news = (signal: AbortSignal) => this.#pending.newest(signal);
        if (leftMs <= 0 || (await inTime(leftMs, clock, stop, news)) === "late") {
          await this.#check(token, stop);
          checkAtMs = nextCheckAtMs();
          continue;
        }
        const result = await this.#saveNewest(token, retry, stop, deadline);
        if (result.kind === "refused") {
          if (result.refusal.kind === "foreign") return;
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
      this.#sawGood();
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

  /** Looks whether what lies there is what is to, for it may have been damaged, removed or put back by hand; and sees to it that it is again. */
  async #check(token: number, stop: AbortSignal): Promise<void> {
    const { archive, clock, log, metrics } = this.#options;
    const isWhole = clock.monotonicMs() >= this.#wholeCheckAtMs;
    try {
      const result = await this.#gated.check(token, isWhole, stop);
      this.#hasLooked = true;
      if (isWhole) this.#wholeCheckAtMs = clock.monotonicMs() + WHOLE_CHECK_MS;
      const fields = { key: archive.name };
      switch (result.kind) {
        case "mended": {
          const { found } = result;
          metrics.mended();
          log.warn(
            { ...fields, found },
            found === undefined
              ? "current snapshot was gone or damaged, saved again"
              : "somebody put another snapshot in the place of the current one, which was saved again",
          );
          break;
        }
        case "lost":
          if (this.#stored !== undefined && this.#checkNews.isNews("lost")) {
            log.error(
              fields,
              "current snapshot is gone or damaged: it is saved again once the control plane sends its config",
            );
          }
          return;
        case "refused":
          // The usual way knows what to do, and tells.
          if (this.#newest !== undefined) this.#pending.put(this.#newest);
          return;
        case "good":
          break;
        default:
          result satisfies never;
      }
      this.#sawGood();
      if (this.#checkNews.end()) log.info(fields, "current snapshot was looked at: it is good");
    } catch (error) {
      if (stop.aborted || !(error instanceof ServiceError)) throw error;
      if (this.#checkNews.isNews(error.message)) {
        log.error({ err: error }, "cannot look whether the current snapshot is still good");
      }
    }
  }

  #sawGood(): void {
    this.#seenGoodAtMs = this.#options.clock.monotonicMs();
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
    if (refusal.stored !== undefined) this.#sawGood();
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
      case "foreign":
        this.#found(refusal.stored);
        this.#tellForeign();
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
    const { configHash, clusterId } = config.update;
    if (kind === "unchanged") log.debug({ configHash }, "config unchanged, nothing to save");
    else this.#sawGood();
    this.#stored = { configHash, clusterId, at: clock.now(), config };
    this.#tellForeign();
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
          this.#sawGood();
          this.#tellForeign();
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

  /** Until another cluster's config lies there no more, or `stop` aborts. */
  async #awaitRoom(stop: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    try {
      while (this.#isForeign) {
        await clock.sleep(LOOK_MS, stop);
        try {
          const foreign = this.#newest && (await this.#gated.foreign(this.#newest, stop));
          if (foreign === undefined) this.#stored = undefined;
        } catch (error) {
          if (!(error instanceof ServiceError)) throw error;
          log.debug(
            { err: error },
            "cannot look whether another cluster's config still lies there",
          );
        }
      }
    } catch (error) {
      if (!stop.aborted) throw error;
    }
  }

  #found(metadata: SnapshotMetadata | undefined): void {
    const at = metadata?.exportedAt ?? this.#options.clock.now();
    this.#stored = { configHash: metadata?.configHash, clusterId: metadata?.clusterId, at };
    if (!this.#isForeign) this.#host.onStored(this.#stored);
  }

  /** Whether what lies in the store is known to be the config of another cluster than ours. */
  get #isForeign(): boolean {
    const stored = this.#stored;
    return stored !== undefined && isOfAnotherCluster(stored, this.#newest?.update.clusterId);
  }

  get #isAnothersToSave(): boolean {
    return isAnothers(this.#leadership) && !this.#isForeign;
  }

  #tellForeign(): void {
    if (this.#isForeign === this.#isToldForeign) return;
    this.#isToldForeign = this.#isForeign;
    if (!this.#isForeign) return;
    const { archive, log } = this.#options;
    const ours = this.#newest?.update.clusterId;
    const err = otherCluster(archive.name, this.#stored?.clusterId, ours);
    log.error({ err }, "config not saved: another Kong cluster's lies there, and stays");
  }

  #lagMs(): number | undefined {
    if (this.#isAnothersToSave) return undefined;
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
