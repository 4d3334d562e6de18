/** What the exporter tells the outside about itself; runtime/metrics.ts makes Prometheus series of it. */

import type { Leadership } from "../election/port.ts";
import type { KongVersion } from "../kong/version.ts";
import type { WriteRefusal } from "./gated-archive.ts";

/** What may hold a config back, in the order in which they are asked. */
export const GATES = ["guard", "checks", "rehearsal"] as const;
export type GateName = (typeof GATES)[number];

/** How a rehearsal ends; `failed`: it said nothing about the config. */
export const REHEARSAL_OUTCOMES = ["passed", "refused", "failed"] as const;
export type RehearsalOutcome = (typeof REHEARSAL_OUTCOMES)[number];

/** Of one Kong version. */
export interface ExporterMetrics {
  /** The session with the control plane came up or broke. */
  connected(isUp: boolean): void;
  /** A well-formed config arrived, `bytes` long. */
  received(bytes: number): void;
  /** A frame was refused. */
  rejected(code: string): void;
  /** What was received last is what the control plane had then. */
  confirmed(at: Date): void;
  /** Whether it is known to have a config that this exporter was not given. */
  withheld(isSo: boolean): void;
  /** A config is durably saved in at least one store: newly written, or found to lie there already. */
  saved(at: Date): void;
}

/** What the gates that all stores of one Kong version share say of its configs. */
export interface GateMetrics {
  /** A rehearsal ended. */
  rehearsed(result: RehearsalOutcome): void;
  /** What the static checks found in the newest config that was to be saved. */
  checked(findings: number): void;
}

/** Of one Kong version in one store. */
export interface WriterMetrics {
  /** A config was written. */
  wrote(durationMs: number): void;
  /** One attempt to save failed. */
  saveFailed(code: string): void;
  /** A config was held back that was not before. */
  held(by: GateName): void;
  /** What was current was gone, damaged or another one, and was saved again. */
  mended(): void;
}

/** How one writer stands, asked at each scrape. */
export interface WriterStatus {
  readonly store: string;
  readonly kongVersion: KongVersion;
  /** Undefined until the election has said something. */
  readonly leadership: Leadership | undefined;
  /**
   * How long the store lacks the newest config received, milliseconds; 0 where it has it, or the
   * config was held back or overruled by an operator. While the control plane is known to have a config
   * that it does not give, at least since when that can be. Undefined where another exporter writes.
   */
  readonly lagMs: number | undefined;
  /** How long ago the store was last seen to hold a good snapshot, milliseconds; undefined: never yet. */
  readonly unseenMs: number | undefined;
  /** Why the newest config may not be saved yet, see Refusal; undefined where nothing forbids it. While this exporter does not hold the lease, "foreign" or undefined. */
  readonly refusedBy: WriteRefusal["kind"] | undefined;
  /** What holds a config back; undefined where none is, and while this exporter does not hold the lease. */
  readonly heldBy: GateName | undefined;
}
