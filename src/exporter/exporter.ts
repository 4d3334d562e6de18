/** The job of saving, for one Kong version: what the control plane sends ends up in the archive. */

import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { matchConfigHash } from "../kong/config-hash.ts";
import type { ConfigUpdate } from "../kong/reconfigure.ts";
import type { KongVersion } from "../kong/version.ts";
import type { Archive, NewSnapshot } from "../snapshots/archive.ts";
import { sha256 } from "../snapshots/verify.ts";
import type { ConfigSource, SourceEvent } from "../source/port.ts";
import { follow } from "./follow.ts";
import type { ExporterMetrics } from "./metrics.ts";
import { type SaveResult, type SaveRetry, Saver } from "./saver.ts";

export interface ExporterOptions {
  readonly source: ConfigSource;
  readonly archive: Archive;
  readonly kongVersion: KongVersion;
  /** Node id under which this exporter is known to the control plane, and in what it saves. */
  readonly exporterId: string;
  /** Whether the store honours preconditions; asked before each save, so it should remember its answer. Rejects with StoreError. */
  readonly conditional: (signal: AbortSignal) => Promise<boolean>;
  readonly exportDelayMs: number;
  readonly retry: SaveRetry;
  /** Kong's hash is recomputed for configs up to this length, bytes; 0: never. */
  readonly hashCheckMaxBytes: number;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
  readonly metrics: ExporterMetrics;
}

/** A config on its way into the archive. */
interface Arrival {
  readonly update: ConfigUpdate;
  readonly receivedAt: Date;
}

export class Exporter {
  readonly #options: ExporterOptions;
  readonly #saver: Saver<Arrival>;
  #hasSaved = false;

  constructor(options: ExporterOptions) {
    this.#options = options;
    this.#saver = new Saver({ ...options, save: (arrival, signal) => this.#save(arrival, signal) });
  }

  /** Whether the store is known to hold a good snapshot, saved by this process or before it. */
  get hasSaved(): boolean {
    return this.#hasSaved;
  }

  /**
   * Follows the source until `stop` aborts, then saves what is pending for as long as `deadline`
   * allows. Resolves to whether nothing was left unsaved; rejects only for a bug.
   */
  async run(stop: AbortSignal, deadline: AbortSignal): Promise<boolean> {
    const { source, log, metrics } = this.#options;
    // A bug on either side ends the other one too, instead of leaving half an exporter.
    const failed = new AbortController();
    const stopOrFailed = AbortSignal.any([stop, failed.signal]);
    const giveUp = (error: unknown) => {
      failed.abort(error);
      throw error;
    };
    const following = follow(
      source,
      (event) => this.#onEvent(event),
      () => metrics.connected(false),
      this.#options,
      stopOrFailed,
    ).catch((error: unknown) => {
      if (!stopOrFailed.aborted) giveUp(error);
    });
    const saving = this.#recall(stopOrFailed)
      .then(() => this.#saver.run(stopOrFailed, deadline))
      .catch(giveUp);
    const [, allSaved] = await Promise.all([following, saving]);
    if (!allSaved) log.error({}, "stopped before the newest config could be saved");
    return allSaved;
  }

  /** Learns what is saved already. A store that is down does not keep the exporter from following the control plane. */
  async #recall(signal: AbortSignal): Promise<void> {
    const { archive, conditional, source, log, metrics } = this.#options;
    try {
      await conditional(signal);
      const saved = await archive.recall(signal);
      if (saved === undefined) return;
      this.#hasSaved = true;
      const { configHash, exportedAt, bytes } = saved;
      metrics.saved(exportedAt);
      log.info({ key: archive.name, configHash, exportedAt, bytes }, "snapshot found");
      if (configHash !== undefined) source.acknowledge(configHash);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ServiceError)) throw error;
      log.error(
        { err: error },
        "store cannot be used yet, configs are kept in memory until it can",
      );
    }
  }

  #onEvent(event: SourceEvent): void {
    const { source, clock, log, metrics } = this.#options;
    switch (event.kind) {
      case "connected":
        metrics.connected(true);
        log.info({ source: source.name }, "connected to control plane");
        return;
      case "config":
        metrics.received(event.update.configTable.length);
        log.info(describeUpdate(event.update), "config received");
        this.#saver.offer({ update: event.update, receivedAt: clock.now() });
        return;
      case "rejected":
        metrics.rejected(event.error.code);
        log.error({ err: event.error }, "config refused, what is saved stays as it is");
        return;
      case "withheld":
        log.error({ err: event.error }, "connected, but the control plane sends no config");
        return;
      default:
        event satisfies never;
    }
  }

  async #save({ update, receivedAt }: Arrival, signal: AbortSignal): Promise<SaveResult> {
    const { archive, source, conditional, clock, log, metrics } = this.#options;
    const startedAt = clock.monotonicMs();
    let result: SaveResult = "unchanged";
    if (!archive.holds(update.configHash)) {
      const snapshot = this.#snapshotOf(update, receivedAt);
      const outcome = await archive.save(
        snapshot,
        { conditional: await conditional(signal) },
        signal,
      );
      result = outcome.kind;
      if (outcome.kind === "stale") {
        log.error(
          { configHash: update.configHash, stored: outcome.stored },
          "config not saved: another exporter saved a newer one",
        );
        return result;
      }
    }
    this.#hasSaved = true;
    metrics.saved(clock.now());
    if (result === "saved") {
      const bytes = update.configTable.length;
      const durationMs = Math.round(clock.monotonicMs() - startedAt);
      metrics.wrote(durationMs);
      log.info(
        { key: archive.name, configHash: update.configHash, bytes, durationMs },
        "snapshot saved",
      );
    } else {
      log.debug({ configHash: update.configHash }, "config unchanged, nothing to save");
    }
    if (update.configHash !== undefined) source.acknowledge(update.configHash);
    return result;
  }

  #snapshotOf(update: ConfigUpdate, receivedAt: Date): NewSnapshot {
    const { kongVersion, exporterId, hashCheckMaxBytes, log } = this.#options;
    const config = update.configTable;
    const hashMatch = matchConfigHash(config, update.configHash, kongVersion, hashCheckMaxBytes);
    if (hashMatch === "false") {
      log.warn(
        { configHash: update.configHash, kongVersion },
        "config does not hash to what the control plane says: normal if it was rewritten for an older Kong version",
      );
    }
    return {
      config,
      metadata: {
        kongVersion,
        configHash: update.configHash,
        hashes: update.hashes,
        hashMatch,
        sha256: sha256(config),
        bytes: config.length,
        controlPlaneTimestamp: update.timestamp,
        exportedAt: receivedAt,
        exporterId,
        // No election yet: every exporter writes with the same token, and time decides.
        fencingToken: 0,
      },
    };
  }
}

function describeUpdate(update: ConfigUpdate): object {
  return {
    configHash: update.configHash,
    bytes: update.configTable.length,
    controlPlaneTimestamp: update.timestamp,
  };
}
