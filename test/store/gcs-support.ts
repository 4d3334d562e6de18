/** What the GCS tests share: a store on a fake or a real server. */

import { systemClock } from "../../src/runtime/clock.ts";
import type { GcsStoreOptions } from "../../src/store/gcs.ts";
import { openGcsStore } from "../../src/store/gcs.ts";
import type { Store } from "../../src/store/port.ts";

/** A store on `gs://backups/team` of this server, of Google's without one, unless `options` say otherwise. */
export function openGcs(
  apiEndpoint: string | undefined,
  options: Partial<GcsStoreOptions> = {},
): Store {
  const { bucket = "backups", prefix = "team" } = options;
  const url = `gs://${bucket}/${prefix}`;
  const common = { url, bucket, prefix, apiEndpoint, timeoutMs: 10_000, clock: systemClock };
  return openGcsStore({ ...common, ...options });
}
