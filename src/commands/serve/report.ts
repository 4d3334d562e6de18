/** What `/status.json` and `/readyz` tell of a sidecar. */

import type { Clock } from "../../core/clock.ts";
import type { KongVersion } from "../../kong/version.ts";
import type { FallbackControlPlane } from "../../sidecar/control-plane.ts";
import type { HeldBack, Shelf } from "../../sidecar/shelf/shelf.ts";

export interface ReportSubject {
  readonly controlPlane: Pick<FallbackControlPlane, "state" | "planes" | "unserved">;
  /** The real one, `host:port`. */
  readonly upstream: string;
  readonly shelf: Shelf;
  /** KONG_VERSION. */
  readonly wanted: readonly KongVersion[];
  readonly clock: Clock;
}

/** Times are ISO 8601, ages seconds. */
export function reportPlanes({ controlPlane, upstream, shelf, clock }: ReportSubject): object {
  const { state } = controlPlane;
  return {
    state: state.kind,
    since: state.since,
    controlPlane: upstream,
    ...(state.kind === "fallback" && { reason: state.error.message, code: state.error.code }),
    snapshots: reportSnapshots(shelf, clock),
    dataPlanes: [...controlPlane.planes, ...controlPlane.unserved].map((plane) => ({
      ...plane.introduction,
      state: plane.state.kind,
      since: plane.state.since,
      ...("error" in plane.state && { reason: plane.state.error.message }),
      connectedAt: plane.connectedAt,
      configHash: plane.hash ?? null,
    })),
  };
}

export function reportSnapshots(shelf: Shelf, clock: Clock): readonly object[] {
  return shelf.versions().map((version) => {
    const servable = shelf.newest(version);
    return {
      kongVersion: version,
      configHash: servable?.configHash ?? null,
      bytes: servable?.bytes,
      origin: servable?.origin,
      controlPlaneTimestamp: servable?.controlPlaneTimestamp ?? null,
      takenAt: servable?.takenAt ?? null,
      confirmedAt: shelf.confirmedAt(version) ?? null,
      ageSeconds: ageSeconds(shelf, version, clock) ?? null,
      ...describeHeld(shelf.held(version)),
    };
  });
}

function describeHeld(held: HeldBack | undefined): object {
  if (held === undefined) return {};
  const { configHash = null, exportedAt: passedAt } = held.metadata;
  return { held: { configHash, passedAt, reasons: held.reasons } };
}

/** Since the config was last known to be the control plane's; undefined where nobody knows. */
export function ageSeconds(shelf: Shelf, version: KongVersion, clock: Clock): number | undefined {
  const at = shelf.confirmedAt(version);
  return at && Math.max(0, Math.round((clock.now().getTime() - at.getTime()) / 1000));
}

/** Undefined: ready, for there is a live control plane, or a snapshot for each wanted version (for any, where none is named). */
export function planesNotReady(subject: ReportSubject): string | undefined {
  const { controlPlane, shelf } = subject;
  if (controlPlane.state.kind === "live") return undefined;
  const missing = missingSnapshots(shelf, subject.wanted);
  return missing && `the control plane is not live, and ${missing}`;
}

/** Undefined if none is missing. */
export function missingSnapshots(shelf: Shelf, wanted: readonly KongVersion[]): string | undefined {
  const missing = wanted.filter((version) => shelf.newest(version) === undefined);
  if (missing.length > 0) return `there is no usable snapshot for Kong ${missing.join(", ")}`;
  return shelf.versions().length === 0 ? "there is no usable snapshot" : undefined;
}
