/** The job of saving, for one Kong version: what the control plane sends ends up in every store. */

import { ServiceError } from "../core/errors.ts";
import { FailureNews } from "../core/failure-news.ts";
import { Bell, Scope } from "../core/waiting.ts";
import type { ConfigUpdate } from "../kong/reconfigure.ts";
import type { ConfigSource, SourceEvent } from "../source/port.ts";
import { type FollowOptions, follow } from "./follow.ts";
import type { ExporterMetrics, WriterStatus } from "./metrics.ts";
import { Lineage, ReceivedConfig, type ReceivedConfigOptions } from "./received-config.ts";
import type { Stored, Writer, WriterHost } from "./writer.ts";

export interface ExporterOptions extends ReceivedConfigOptions, FollowOptions {
  readonly source: ConfigSource;
  /** One for each store; none waits for another. */
  readonly writers: readonly Writer[];
  readonly metrics: ExporterMetrics;
}

/** How what was received compares with what the control plane has. */
export interface Currency {
  readonly isConnected: boolean;
  /** When what was received last was known to be what the control plane has; undefined: never yet. */
  readonly confirmedAt: Date | undefined;
  /** Why it is known to have a config that this exporter was not given, or could not use; undefined where it is not known to. */
  readonly withheld: ServiceError | undefined;
}

/** One moment by both clocks. */
interface Moment {
  readonly at: Date;
  readonly monotonicMs: number;
}

export class Exporter {
  readonly #options: ExporterOptions;
  readonly #uncheckedNews: FailureNews;
  #isConnected = false;
  #confirmed: Moment | undefined;
  /** `sinceMs`: from when on there may be something that was not given, by the monotonic clock. */
  #withheld: { readonly error: ServiceError; readonly sinceMs: number } | undefined;
  #newest: ReceivedConfig | undefined;
  readonly #lineage = new Lineage();
  /** When the session under way, or the last one, began, by the monotonic clock. */
  #sessionSinceMs = Number.NEGATIVE_INFINITY;
  /** A config is wanted of a session that began then or later. */
  #wantedSinceMs = Number.NEGATIVE_INFINITY;
  readonly #wanted = new Bell();
  readonly #connected = new Bell();
  readonly #renew = new Bell();
  /** Order of the newest config that the source was told to be saved. */
  #acknowledged = 0;
  #savedAt: Date | undefined;

  constructor(options: ExporterOptions) {
    this.#options = options;
    this.#uncheckedNews = new FailureNews(options.clock);
  }

  get currency(): Currency {
    return {
      isConnected: this.#isConnected,
      confirmedAt: this.#confirmed?.at,
      withheld: this.#withheld?.error,
    };
  }

  /** Whether at least one store is known to hold a good snapshot, saved by this process or another one. */
  get hasSaved(): boolean {
    return this.#options.writers.some((writer) => writer.hasSaved);
  }

  /** Whether it is known of every store what lies there. */
  get hasLooked(): boolean {
    return this.#options.writers.every((writer) => writer.hasLooked);
  }

  /** One for each store, in the order of the settings. */
  get replicas(): readonly WriterStatus[] {
    const { clock, writers } = this.#options;
    const missingMs =
      this.#withheld === undefined ? 0 : clock.monotonicMs() - this.#withheld.sinceMs;
    return writers.map(({ status }) => ({
      ...status,
      lagMs: status.lagMs === undefined ? undefined : Math.max(status.lagMs, missingMs),
    }));
  }

  /**
   * Follows the source until `stop` aborts, then saves what is pending for as long as `deadline`
   * allows. Resolves to whether the newest config lies in at least one store, or another exporter is
   * there to save it. Rejects with ELECTION_UNSAFE where that is so for every store; with others only
   * for a bug.
   */
  async run(stop: AbortSignal, deadline: AbortSignal): Promise<boolean> {
    const { source, log, metrics } = this.#options;
    // A bug on either side ends the other one too, instead of leaving half an exporter.
    using life = new Scope(stop);
    const giveUp = (error: unknown) => {
      life.end(error);
      throw error;
    };
    const following = follow(
      source,
      (event) => this.#onEvent(event),
      () => {
        this.#isConnected = false;
        metrics.connected(false);
      },
      this.#renew,
      this.#options,
      life.signal,
    ).catch((error: unknown) => {
      if (!life.isOver) giveUp(error);
    });
    const asking = this.#keepAsking(life.signal).catch((error: unknown) => {
      if (!life.isOver) giveUp(error);
    });
    const writing = this.#write(life.signal, deadline).catch(giveUp);
    const [, , saved] = await Promise.all([following, asking, writing]);
    if (!saved.includes(true)) {
      log.error({}, "stopped before the newest config could be saved");
      return false;
    }
    if (saved.includes(false)) {
      log.warn({}, "stopped before the newest config could be saved in every store");
    }
    return true;
  }

  /** For each store whether nothing was left unsaved. */
  async #write(stop: AbortSignal, deadline: AbortSignal): Promise<readonly boolean[]> {
    const { writers, log } = this.#options;
    const host: WriterHost = {
      onStored: (stored) => this.#onStored(stored),
      askAnew: (sinceMs) => this.#askAnew(sinceMs),
    };
    const refusals: ServiceError[] = [];
    const results = await Promise.all(
      writers.map(async (writer) => {
        try {
          return await writer.run(host, stop, deadline);
        } catch (error) {
          if (!(error instanceof ServiceError)) throw error;
          refusals.push(error);
          if (writers.length > 1) {
            log.error({ err: error, store: writer.status.store }, "nothing is saved in this store");
          }
          return false;
        }
      }),
    );
    const [refusal] = refusals;
    if (refusal !== undefined && refusals.length === writers.length) throw refusal;
    return results;
  }

  #askAnew(sinceMs: number): void {
    if (sinceMs <= this.#wantedSinceMs) return;
    this.#wantedSinceMs = sinceMs;
    this.#wanted.ring();
  }

  /** Sees to it that a session begins no earlier than wanted: one that began before is ended, and the next one is given what the control plane has then. */
  async #keepAsking(signal: AbortSignal): Promise<never> {
    const { source, clock, log } = this.#options;
    for (;;) {
      while (this.#sessionSinceMs >= this.#wantedSinceMs) await this.#wanted.wait(signal);
      const leftMs = this.#wantedSinceMs - clock.monotonicMs();
      if (leftMs > 0) {
        await clock.sleep(leftMs, signal);
        continue;
      }
      if (this.#isConnected) {
        log.info({ source: source.name }, "control plane is asked anew for what it has now");
        this.#renew.ring();
      }
      await this.#connected.wait(signal);
    }
  }

  #onEvent(event: SourceEvent): void {
    const { clock, source, log, metrics } = this.#options;
    switch (event.kind) {
      case "connected":
        this.#isConnected = true;
        this.#sessionSinceMs = clock.monotonicMs();
        this.#connected.ring();
        metrics.connected(true);
        log.info({ source: source.name }, "connected to control plane");
        return;
      case "config":
        metrics.received(event.update.configTable.length);
        log.info(describeUpdate(event.update), "config received");
        this.#offer(event.update);
        this.#confirm();
        return;
      case "rejected":
        metrics.rejected(event.error.code);
        this.#withhold(event.error);
        log.error({ err: event.error }, "config refused, what is saved stays as it is");
        return;
      case "withheld":
        this.#withhold(event.error);
        log.error({ err: event.error }, "connected, but the control plane sends no config");
        return;
      case "confirmed":
        this.#confirm();
        return;
      case "unconfirmed":
        if (this.#uncheckedNews.isNews(event.error.message)) {
          log.warn(
            { err: event.error, confirmedAt: this.#confirmed?.at },
            "cannot check whether the control plane has a newer config",
          );
        }
        return;
      default:
        event satisfies never;
    }
  }

  #confirm(): void {
    const { clock, log, metrics } = this.#options;
    if (this.#withheld !== undefined) {
      log.info({}, "the control plane has no other config any more than the one received last");
    }
    this.#uncheckedNews.end();
    this.#withheld = undefined;
    this.#confirmed = { at: clock.now(), monotonicMs: clock.monotonicMs() };
    metrics.withheld(false);
    metrics.confirmed(this.#confirmed.at);
  }

  #withhold(error: ServiceError): void {
    const { clock, metrics } = this.#options;
    const sinceMs = this.#withheld?.sinceMs ?? this.#confirmed?.monotonicMs ?? clock.monotonicMs();
    this.#withheld = { error, sinceMs };
    metrics.withheld(true);
  }

  #offer(update: ConfigUpdate): void {
    const { clock, writers } = this.#options;
    const order = (this.#newest?.receipt.order ?? 0) + 1;
    const receipt = {
      order,
      at: clock.now(),
      monotonicMs: clock.monotonicMs(),
      sessionSinceMs: this.#sessionSinceMs,
    };
    const config = new ReceivedConfig(update, receipt, this.#lineage, this.#options);
    this.#lineage.add(update, receipt);
    this.#newest = config;
    for (const writer of writers) writer.offer(config);
  }

  /** The first store counts; one that lags behind must not take the source back to an older config. */
  #onStored({ configHash, at, config }: Stored): void {
    const { source, metrics } = this.#options;
    const newest = this.#newest;
    if (this.#savedAt !== undefined && at < this.#savedAt) {
      if (newest === undefined) return;
    } else {
      this.#savedAt = at;
      metrics.saved(at);
    }
    if (configHash === undefined) return;
    const isNewest = newest === undefined || newest.update.configHash === configHash;
    const order = isNewest ? (newest?.receipt.order ?? 0) : (config?.receipt.order ?? -1);
    if (order < this.#acknowledged) return;
    this.#acknowledged = order;
    source.acknowledge(configHash);
  }
}

function describeUpdate(update: ConfigUpdate): object {
  return {
    configHash: update.configHash,
    bytes: update.configTable.length,
    controlPlaneTimestamp: update.timestamp,
  };
}
