/** What an exporter does while another one writes: it looks what that one saved. */

import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { Archive } from "../snapshots/archive.ts";
import { metadataOf } from "../snapshots/sighting.ts";
import type { SnapshotMetadata } from "../snapshots/snapshot.ts";
import type { Version } from "../store/port.ts";

export interface StandByOptions {
  readonly archive: Archive;
  readonly clock: Clock;
  readonly log: Log;
}

const LOOK_MS = 30_000;

/** So that this exporter, too, is ready, and tells the control plane what is saved. Resolves when the signal aborts. */
export async function standBy(
  { archive, clock, log }: StandByOptions,
  onFound: (metadata: SnapshotMetadata | undefined) => void,
  signal: AbortSignal,
): Promise<void> {
  let seen: Version | undefined;
  try {
    for (;;) {
      try {
        const found = await archive.sight(seen, signal);
        seen = found?.version ?? seen;
        if (found !== undefined) onFound(metadataOf(found));
      } catch (error) {
        if (!(error instanceof ServiceError)) throw error;
        log.debug({ err: error }, "standing by, what is saved cannot be seen");
      }
      await clock.sleep(LOOK_MS, signal);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
