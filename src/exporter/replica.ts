/** One store as its writer sees it: what is received passes the gates, becomes the current snapshot, and is kept in the history. */

import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { countEntities, type EntityCounts } from "../kong/entity-counts.ts";
import type { Archive } from "../snapshots/archive.ts";
import { isPassedOver } from "../snapshots/errors.ts";
import type { RetentionPolicy } from "../snapshots/retention.ts";
import { metadataOf } from "../snapshots/sighting.ts";
import type { SnapshotMetadata } from "../snapshots/snapshot.ts";
import { Admission, type Admitted, type Gate, type HeldConfig } from "./admission.ts";
import type { Arrival } from "./arrival.ts";
import { type GuardPolicy, guardGate } from "./guard.ts";
import type { GateName, WriterMetrics } from "./metrics.ts";
import type { SaveResult } from "./saver.ts";

export interface ReplicaOptions {
  readonly archive: Archive;
  readonly retention: RetentionPolicy;
  readonly guard: GuardPolicy;
  /** What else a config must pass, after the guard and in this order; shared by the writers of one version. */
  readonly gates?: readonly Gate[];
  /** Whether the store honours preconditions; asked before each save, so it should remember its answer. Rejects with StoreError. */
  readonly conditional: (signal: AbortSignal) => Promise<boolean>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<WriterMetrics, "wrote" | "held">;
}

const ALARMS: { readonly [Name in GateName]: string } = {
  guard: "config held back: it lost too much of what the current one has, which stays",
  checks: "config held back: static checks find it faulty, the current one stays",
  rehearsal: "config held back: Kong refused it in the rehearsal, the current one stays",
};
/** What one line of the log tells of a hold. */
const MAX_LOGGED_REASONS = 10;

/** For one writer; its methods are called one at a time. They reject with ServiceError, and do not retry. */
export class Replica {
  readonly #options: ReplicaOptions;
  readonly #admission: Admission;
  #recalled: SnapshotMetadata | undefined;
  /** Of what is current; undefined until somebody asks. */
  #current: { readonly counts: EntityCounts | undefined } | undefined;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.#admission = new Admission([guardGate(options.guard), ...(options.gates ?? [])]);
  }

  /** What holds a config back; undefined where none is. */
  get heldBy(): GateName | undefined {
    return this.#admission.held?.by;
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
    const admitted = await this.#admit(arrival, signal);
    if (admitted.kind === "held") {
      await this.#keepAside(arrival, fencingToken, admitted, signal);
      return "held";
    }
    const { rehearsed } = admitted;
    const { configHash, configTable } = arrival.update;
    if (archive.holds(configHash, fencingToken, rehearsed)) return "unchanged";
    const snapshot = arrival.snapshot(fencingToken, rehearsed);
    const options = { conditional: await conditional(signal), now: clock.now() };
    const outcome = await archive.save(snapshot, options, signal);
    switch (outcome.kind) {
      case "stale":
        this.#forget();
        log.error(
          { configHash, fencingToken, refusal: outcome.why, stored: outcome.stored },
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

  async #admit(arrival: Arrival, signal: AbortSignal): Promise<Admitted> {
    const isCurrent = this.#isCurrent(arrival);
    const admitted = await this.#admission.admit(
      {
        arrival,
        isRehearsed: isCurrent && this.#recalled?.rehearsed === true,
        currentCounts: (counting) => this.#countsNow(arrival, counting),
      },
      isCurrent,
      signal,
    );
    if (admitted.kind === "pass" && admitted.cleared !== undefined) {
      const { configHash } = arrival.update;
      this.#options.log.info(
        { configHash, cleared: admitted.cleared.id, by: admitted.cleared.by },
        "no config is held back any more",
      );
    }
    return admitted;
  }

  /** Raises the alarm, and sees to it that what is held back is in the history. */
  async #keepAside(
    arrival: Arrival,
    fencingToken: number,
    { held, isNew }: { readonly held: HeldConfig; readonly isNew: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const { archive, conditional, log, metrics } = this.#options;
    const { by, reasons } = held;
    if (isNew) {
      metrics.held(by);
      const { configHash } = arrival.update;
      const shown = reasons.slice(0, MAX_LOGGED_REASONS);
      log.error({ key: archive.name, configHash, by, reasons: shown }, ALARMS[by]);
    }
    const why = `${by === "guard" ? "" : `${by}: `}${reasons.join("; ")}`;
    const options = { held: why, conditional: await conditional(signal) };
    await archive.history.add(arrival.snapshot(fencingToken, false), options, signal);
    if (isNew) await this.#prune(signal);
  }

  /** By Kong's hash: the bytes of one config differ from frame to frame. */
  #isCurrent({ update }: Arrival): boolean {
    const hash = this.#recalled?.configHash;
    return hash !== undefined && hash === update.configHash;
  }

  /** Of what is current now, or the newest good one where that is damaged; undefined where there is none. */
  async #countsNow(arrival: Arrival, signal: AbortSignal): Promise<EntityCounts | undefined> {
    // The config that is current already need not be read to be counted.
    if (this.#isCurrent(arrival)) return arrival.counts;
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
