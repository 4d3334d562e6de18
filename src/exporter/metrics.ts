/** What the exporter tells the outside about itself; runtime/metrics.ts makes Prometheus series of it. */

export interface ExporterMetrics {
  /** The session with the control plane came up or broke. */
  connected(isUp: boolean): void;
  /** A well-formed config arrived, `bytes` long. */
  received(bytes: number): void;
  /** A frame was refused. */
  rejected(code: string): void;
  /** The newest config is durably saved: newly written, or found to lie there already. */
  saved(at: Date): void;
  /** A config was written. */
  wrote(durationMs: number): void;
  /** One attempt to save failed. */
  saveFailed(code: string): void;
}
