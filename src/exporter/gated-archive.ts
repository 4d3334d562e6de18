/** What one save is: a config passes the gates, becomes the current snapshot of one store, and is kept in its history. */

import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { countEntities, type EntityCounts } from "../kong/entity-counts.ts";
import type { Archive } from "../snapshots/archive.ts";
import { isPassedOver } from "../snapshots/errors.ts";
import { isOfAnotherCluster, type Refusal } from "../snapshots/order.ts";
import { isRestored } from "../snapshots/restored.ts";
import type { RetentionPolicy } from "../snapshots/retention.ts";
import { metadataOf } from "../snapshots/sighting.ts";
import type { SnapshotMetadata } from "../snapshots/snapshot.ts";
import { type Decision, type Gate, Gates } from "./gates.ts";
import { type GuardPolicy, guardGate } from "./guard.ts";
import type { GateName, WriterMetrics } from "./metrics.ts";
import type { ReceivedConfig } from "./received-config.ts";

export interface GatedArchiveOptions {
  readonly archive: Archive;
  readonly retention: RetentionPolicy;
  readonly guard: GuardPolicy;
  /** What else a config must pass, after the guard and in this order; shared by the writers of one version. */
  readonly gates: readonly Gate[];
  /** Whether the store honours preconditions; asked before each save, so it should remember its answer. Rejects with StoreError. */
  readonly conditional: (signal: AbortSignal) => Promise<boolean>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<WriterMetrics, "wrote" | "held">;
}

export type SaveResult =
  /** Written. */
  | { readonly kind: "saved" }
  /** Nothing had to be written, or is to be, as long as the control plane has no other config. */
  | { readonly kind: "unchanged" | "held" | "overruled" }
  /** It may not be written as long as nothing else happens. */
  | { readonly kind: "refused"; readonly refusal: WriteRefusal };

export type CheckResult =
  /** A good snapshot lies there: what was made current, what an operator put in its place, or, where this exporter has made none current, any. */
  | { readonly kind: "good" }
  /** Something else lay there (undefined: nothing usable), and was replaced. */
  | { readonly kind: "mended"; readonly found: SnapshotMetadata | undefined }
  /** Nothing usable lies there, and there is nothing at hand to replace it. */
  | { readonly kind: "lost" }
  /** What lies there may not be replaced as long as nothing else happens. */
  | { readonly kind: "refused"; readonly refusal: WriteRefusal };

/** Why what lies in the store may not be replaced by what was received, though it is not known to be the newer one. */
export type WriteRefusal = Exclude<Refusal, { readonly kind: "overruled" }>;

const ALARMS: { readonly [Name in GateName]: string } = {
  guard: "config held back: it lost too much of what the current one has, which stays",
  checks: "config held back: static checks find it faulty, the current one stays",
  rehearsal: "config held back: Kong refused it in the rehearsal, the current one stays",
};
/** What one line of the log tells of a hold. */
const MAX_LOGGED_REASONS = 10;

/** For one writer; its methods are called one at a time. They reject with ServiceError, and do not retry. */
export class GatedArchive {
  readonly #options: GatedArchiveOptions;
  readonly #gates: Gates;
  /** Whether it was seen what is current. */
  #hasLooked = false;
  /** Of what is current, as far as known. */
  #current: SnapshotMetadata | undefined;
  /** Of what is current, or stands in for it; undefined until it was asked for, and while there is nothing. */
  #counts: EntityCounts | undefined;
  /** What was made, or found to be, current last. */
  #made:
    | {
        readonly config: ReceivedConfig;
        readonly fencingToken: number;
        readonly rehearsed: boolean;
      }
    | undefined;

  constructor(options: GatedArchiveOptions) {
    this.#options = options;
    this.#gates = new Gates([guardGate(options.guard), ...options.gates]);
  }

  /** What holds a config back; undefined where none is. */
  get heldBy(): GateName | undefined {
    return this.#gates.held?.by;
  }

  /** Whether this very config is known to be current, under this token. */
  holds({ update }: ReceivedConfig, fencingToken: number): boolean {
    return this.#options.archive.holds(update.configHash, fencingToken);
  }

  /** Looks up what is current now, whoever saved it; undefined if there is nothing usable. */
  async recall(signal: AbortSignal): Promise<SnapshotMetadata | undefined> {
    const { archive, conditional } = this.#options;
    this.#know(undefined);
    this.#hasLooked = false;
    await conditional(signal);
    this.#know(await archive.recall(signal));
    this.#hasLooked = true;
    return this.#current;
  }

  /**
   * Whether what was made current under this token still is; by its version, or, with `whole`, by its
   * body, too. Where it was changed or removed it is made so again, past the gates, which it has passed:
   * unless an operator restored another one in its place, or nobody knows that it is the newer one. One attempt.
   */
  async check(fencingToken: number, whole: boolean, signal: AbortSignal): Promise<CheckResult> {
    const { archive, conditional, clock, metrics } = this.#options;
    if (!whole && (await archive.isIntact(signal))) return { kind: "good" };
    const found = await this.recall(signal);
    const made = this.#made;
    if (made === undefined || made.fencingToken !== fencingToken) {
      return found === undefined ? { kind: "lost" } : { kind: "good" };
    }
    const { config, rehearsed } = made;
    const startedAt = clock.monotonicMs();
    const { asOfMs, follows } = config.provenance;
    const provenance = {
      asOfMs,
      // Whoever held an earlier token cannot have written since: what has one was put back.
      follows: (stored: SnapshotMetadata) =>
        !isRestored(stored) && (follows(stored) || stored.fencingToken < fencingToken),
    };
    const options = { conditional: await conditional(signal), provenance };
    const outcome = await archive.save(config.snapshot(fencingToken, rehearsed), options, signal);
    switch (outcome.kind) {
      case "saved":
        this.#know(outcome.metadata);
        metrics.wrote(Math.round(clock.monotonicMs() - startedAt));
        return { kind: "mended", found };
      case "unchanged":
      case "overruled":
        return { kind: "good" };
      default:
        return { kind: "refused", refusal: outcome };
    }
  }

  /** What lies there of another cluster than this config's, looked at anew; undefined where nothing does. No gate compares two clusters, and nothing of ours belongs into its history. */
  async foreign(
    { update: { clusterId } }: ReceivedConfig,
    signal: AbortSignal,
  ): Promise<SnapshotMetadata | undefined> {
    const isForeign = () =>
      this.#current !== undefined && isOfAnotherCluster(this.#current, clusterId);
    const isOutdated = async () => isForeign() && !(await this.#options.archive.isIntact(signal));
    if (!this.#hasLooked || (await isOutdated())) await this.recall(signal);
    return isForeign() ? this.#current : undefined;
  }

  /** One attempt. A history that cannot be written or pruned fails no save, but a config that is held back must get there. */
  async save(
    config: ReceivedConfig,
    fencingToken: number,
    signal: AbortSignal,
  ): Promise<SaveResult> {
    const { archive, conditional, clock, log, metrics } = this.#options;
    const startedAt = clock.monotonicMs();
    const foreign = await this.foreign(config, signal);
    if (foreign !== undefined) {
      return { kind: "refused", refusal: { kind: "foreign", stored: foreign } };
    }
    const decision = await this.#decide(config, signal);
    if (decision.kind === "held") {
      await this.#keepAside(config, fencingToken, decision, signal);
      return { kind: "held" };
    }
    const { rehearsed } = decision;
    const { configHash, configTable } = config.update;
    const made = { config, fencingToken, rehearsed };
    if (archive.holds(configHash, fencingToken, rehearsed)) {
      this.#made = made;
      return { kind: "unchanged" };
    }
    const snapshot = config.snapshot(fencingToken, rehearsed);
    const { provenance } = config;
    const options = { conditional: await conditional(signal), provenance };
    const outcome = await archive.save(snapshot, options, signal);
    switch (outcome.kind) {
      case "stale":
      case "unconfirmed":
      case "foreign":
        this.#know(outcome.stored);
        return { kind: "refused", refusal: outcome };
      case "overruled":
        this.#know(outcome.stored);
        log.info(
          { configHash, restored: outcome.stored.exporterId },
          "config not saved: an operator restored another one in its place, which stays until the control plane has a new one",
        );
        return { kind: "overruled" };
      case "unchanged":
        this.#know(snapshot.metadata);
        this.#made = made;
        return { kind: "unchanged" };
      case "saved": {
        this.#know(outcome.metadata);
        this.#made = made;
        const durationMs = Math.round(clock.monotonicMs() - startedAt);
        metrics.wrote(durationMs);
        log.info(
          {
            ...{ key: archive.name, configHash, bytes: configTable.length },
            ...{ durationMs, fencingToken, rule: outcome.rule },
          },
          "snapshot saved",
        );
        await this.#prune(signal);
        return { kind: "saved" };
      }
      default:
        return outcome satisfies never;
    }
  }

  #know(current: SnapshotMetadata | undefined): void {
    this.#current = current;
    this.#counts = current?.entities;
  }

  async #decide(config: ReceivedConfig, signal: AbortSignal): Promise<Decision> {
    const { guard, log } = this.#options;
    const { configHash } = config.update;
    // By Kong's hash: the bytes of one config differ from frame to frame.
    const isCurrent = configHash !== undefined && configHash === this.#current?.configHash;
    const isRehearsed = isCurrent && this.#current?.rehearsed === true;
    if (guard.kind === "on" && !isCurrent) this.#counts ??= await this.#count(signal);
    const currentCounts = isCurrent ? undefined : this.#counts;
    const decision = await this.#gates.decide(
      { config, isCurrent, isRehearsed, currentCounts },
      signal,
    );
    if (decision.kind === "pass" && decision.cleared !== undefined) {
      const { id: cleared, by } = decision.cleared;
      log.info({ configHash, cleared, by }, "no config is held back any more");
    }
    return decision;
  }

  /** What is current now, or the newest good one where that is damaged. Whoever saved it has counted it, as a rule: then it need not be opened. */
  async #count(signal: AbortSignal): Promise<EntityCounts | undefined> {
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
      return {};
    } catch (error) {
      if (isPassedOver(error)) return undefined;
      throw error;
    }
  }

  /** Raises the alarm, and sees to it that what is held back is in the history. */
  async #keepAside(
    config: ReceivedConfig,
    fencingToken: number,
    { held: { by, reasons }, isNew }: Decision & { readonly kind: "held" },
    signal: AbortSignal,
  ): Promise<void> {
    const { archive, conditional, log, metrics } = this.#options;
    if (isNew) {
      metrics.held(by);
      const { configHash } = config.update;
      const shown = reasons.slice(0, MAX_LOGGED_REASONS);
      log.error({ key: archive.name, configHash, by, reasons: shown }, ALARMS[by]);
    }
    const held = `${by === "guard" ? "" : `${by}: `}${reasons.join("; ")}`;
    const options = { held, conditional: await conditional(signal) };
    await archive.history.add(config.snapshot(fencingToken, false), options, signal);
    if (isNew) await this.#prune(signal);
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
