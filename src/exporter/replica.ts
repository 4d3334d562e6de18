/** One store as its writer sees it: what is received passes the guard, becomes the current snapshot, and is kept in the history. */

import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { countEntities, type EntityCounts } from "../kong/entity-counts.ts";
import type { Archive } from "../snapshots/archive.ts";
import { isPassedOver } from "../snapshots/errors.ts";
import type { RetentionPolicy } from "../snapshots/retention.ts";
import { metadataOf } from "../snapshots/sighting.ts";
import type { SnapshotMetadata } from "../snapshots/snapshot.ts";
import type { Arrival } from "./arrival.ts";
import { Guard, type GuardPolicy } from "./guard.ts";
import type { WriterMetrics } from "./metrics.ts";
import type { SaveResult } from "./saver.ts";

export interface ReplicaOptions {
  readonly archive: Archive;
  readonly retention: RetentionPolicy;
  readonly guard: GuardPolicy;
  /** Whether the store honours preconditions; asked before each save, so it should remember its answer. Rejects with StoreError. */
  readonly conditional: (signal: AbortSignal) => Promise<boolean>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<WriterMetrics, "wrote" | "held">;
}

/** For one writer; its methods are called one at a time. They reject with ServiceError, and do not retry. */
export class Replica {
  readonly #options: ReplicaOptions;
  readonly #guard: Guard;
  #recalled: SnapshotMetadata | undefined;
  /** Of what is current; undefined until somebody asks. */
  #current: { readonly counts: EntityCounts | undefined } | undefined;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.#guard = new Guard(options.guard);
  }

  /** Whether the guard holds a config back. */
  get isHolding(): boolean {
    return this.#guard.held !== undefined;
  }

  /** Whether this very config is known to be current, under this token. */
  holds({ update }: Arrival, fencingToken: number): boolean {
    return this.#options.archive.holds(update.configHash, fencingToken);
  }

  /** Looks what is current now, whoever saved it; undefined if there is nothing usable. */
  async recall(signal: AbortSignal): Promise<SnapshotMetadata | undefined> {
    const { archive, conditional } = this.#options;
    this.#forget();
    await conditional(signal);
    this.#recalled = await archive.recall(signal);
    return this.#recalled;
  }

  /** One attempt. A history that cannot be written or pruned fails no save, but a config that is to be held must get there. */
  async save(arrival: Arrival, fencingToken: number, signal: AbortSignal): Promise<SaveResult> {
    const { archive, conditional, clock, log, metrics } = this.#options;
    const startedAt = clock.monotonicMs();
    if (!(await this.#admit(arrival, fencingToken, signal))) return "held";
    const { configHash, configTable } = arrival.update;
    if (this.holds(arrival, fencingToken)) return "unchanged";
    const snapshot = arrival.snapshot(fencingToken);
    const options = { conditional: await conditional(signal), now: clock.now() };
    const outcome = await archive.save(snapshot, options, signal);
    switch (outcome.kind) {
      case "stale":
        this.#forget();
        log.error(
          { configHash, fencingToken, refusal: outcome.refusal, stored: outcome.stored },
          "config not saved: another exporter saved a newer one",
        );
        return "stale";
      case "unchanged":
        this.#remember(arrival, snapshot.metadata);
        return "unchanged";
      case "saved": {
        this.#remember(arrival, snapshot.metadata);
        const durationMs = Math.round(clock.monotonicMs() - startedAt);
        metrics.wrote(durationMs);
        log.info(
          { key: archive.name, configHash, bytes: configTable.length, durationMs, fencingToken },
          "snapshot saved",
        );
        await this.#prune(signal);
        return "saved";
      }
      default:
        return outcome satisfies never;
    }
  }

  #forget(): void {
    this.#recalled = undefined;
    this.#current = undefined;
  }

  #remember(arrival: Arrival, metadata: SnapshotMetadata): void {
    this.#recalled = metadata;
    this.#current = this.#options.guard.kind === "off" ? undefined : { counts: arrival.counts };
  }

  /** Whether the guard lets it pass; what it holds back is in the history afterwards. */
  async #admit(arrival: Arrival, fencingToken: number, signal: AbortSignal): Promise<boolean> {
    const { archive, conditional, guard, log, metrics } = this.#options;
    if (guard.kind === "off") return true;
    const { id, counts } = arrival;
    const { configHash } = arrival.update;
    const admission = this.#guard.admit({ id, counts }, await this.#countsNow(arrival, signal));
    switch (admission.kind) {
      case "pass":
        if (admission.cleared !== undefined) {
          log.info(
            { configHash, cleared: admission.cleared.id },
            "no config is held back any more",
          );
        }
        return true;
      case "held": {
        const { reasons, isNew } = admission;
        if (isNew) {
          metrics.held();
          log.error(
            { key: archive.name, configHash, reasons },
            "config held back: it lost too much of what the current one has, which stays",
          );
        }
        const options = { held: reasons.join("; "), conditional: await conditional(signal) };
        await archive.history.add(arrival.snapshot(fencingToken), options, signal);
        if (isNew) await this.#prune(signal);
        return false;
      }
      default:
        return admission satisfies never;
    }
  }

  /** Of what is current now, or the newest good one where that is damaged; undefined where there is none. */
  async #countsNow(arrival: Arrival, signal: AbortSignal): Promise<EntityCounts | undefined> {
    const hash = this.#recalled?.configHash;
    // The config that is current already need not be read to be counted.
    if (hash !== undefined && hash === arrival.update.configHash) return arrival.counts;
    this.#current ??= { counts: await this.#countCurrent(signal) };
    return this.#current.counts;
  }

  /** Whoever saved it has counted it, as a rule: then it need not be opened. */
  async #countCurrent(signal: AbortSignal): Promise<EntityCounts | undefined> {
    const { archive, log } = this.#options;
    try {
      const sighting = await archive.sight(undefined, signal);
      if (sighting === undefined) return undefined;
      const counted = metadataOf(sighting)?.entities;
      if (counted !== undefined) return counted;
      if (sighting.kind === "open") return countEntities(sighting.snapshot.config);
      log.warn(
        { err: sighting.why, key: archive.name },
        "current config cannot be counted, so the guard lets the next one pass",
      );
      return undefined;
    } catch (error) {
      if (isPassedOver(error)) return undefined;
      throw error;
    }
  }

  async #prune(signal: AbortSignal): Promise<void> {
    const { archive, retention, clock, log } = this.#options;
    try {
      const { removed, failed } = await archive.prune(retention, clock.now(), signal);
      if (removed.length > 0) log.info({ removed }, "history pruned");
      const [failure] = failed;
      if (failure !== undefined) throw failure.error;
    } catch (error) {
      // What was saved is saved, though the process is told to stop just now.
      if (signal.aborted) return;
      if (!(error instanceof ServiceError)) throw error;
      log.warn({ err: error }, "history not pruned, the next save will try again");
    }
  }
}
