/** What a data plane's session works with: what is its own, and what all sessions share. */

import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { Slots } from "../../core/waiting.ts";
import type { KongVersion } from "../../kong/version.ts";
import type { DialRequest } from "../../source/port.ts";
import type { Accepted, Introduction } from "../door/admission.ts";
import type { Upstream } from "../live/upstream.ts";
import type { SidecarMetrics } from "../metrics.ts";
import type { Shelf } from "../shelf/shelf.ts";

/** `connecting`: it is not decided yet where its config comes from. */
export type PlaneState = "connecting" | "live" | "fallback";

export interface PlaneSessionOptions {
  readonly introduction: Introduction;
  /** Undefined where what it gave is no version. */
  readonly version: KongVersion | undefined;
  /** What it asked for, to be asked of the control plane. */
  readonly request: DialRequest;
  /** Paused; nothing was read. */
  readonly connection: Accepted;
}

export interface PlaneContext {
  readonly upstream: Upstream;
  readonly shelf: Shelf;
  /** Is shown every config that passes; undefined: none is remembered. */
  readonly remember: ((version: KongVersion, frame: Buffer) => void) | undefined;
  /** For long messages of the control plane. */
  readonly slots: Slots;
  /** For long frames from the shelf. */
  readonly sendSlots: Slots;
  /** See SnapshotFeedOptions. */
  readonly isAuthority: boolean;
  /** For how long a broken connection is tried to be made again, milliseconds. */
  readonly reconnectMs: number;
  /** A control plane that has sent no config for this long is taken to have none to send, milliseconds. */
  readonly configWaitMs: number;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
  readonly metrics: SidecarMetrics;
}
