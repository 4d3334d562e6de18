/** Says what else lies in the store where nothing does for a Kong version. */

import type { KongVersion } from "../kong/version.ts";
import type { Store } from "../store/port.ts";
import { SnapshotError } from "./errors.ts";
import { versionOfSnapshotKey } from "./layout.ts";

/** How many versions a message names. */
const MAX_NAMED = 10;

/** SNAPSHOT_MISSING. It names the versions that are there: a wrong prefix or version is the usual reason, unless this version's history is. */
export async function missingSnapshot(
  store: Store,
  kongVersion: KongVersion,
  cause: unknown,
  signal: AbortSignal,
): Promise<SnapshotError> {
  let found: readonly string[] = [];
  try {
    found = await savedVersions(store, MAX_NAMED, signal);
  } catch {
    // Listing is a courtesy: a policy may well forbid it.
    signal.throwIfAborted();
  }
  if (found.includes(kongVersion)) {
    return new SnapshotError(
      "SNAPSHOT_MISSING",
      `the current snapshot for Kong ${kongVersion} in ${store.url} is gone, its history is there`,
      {
        cause,
        hint: "Restore one of those that kong-fallback snapshots list shows. An exporter that starts saves a new one.",
      },
    );
  }
  return new SnapshotError(
    "SNAPSHOT_MISSING",
    `no snapshot for Kong ${kongVersion} in ${store.url}${found.length === 0 ? "" : `; there are some for ${found.join(", ")}`}`,
    {
      cause,
      hint:
        found.length === 0
          ? "Check the storage URL's prefix, and that an exporter runs with this KONG_VERSION."
          : "Set KONG_VERSION to the data plane's exact version, or run an exporter for this one.",
    },
  );
}

/** The first `limit` folders that hold a current config or a history, in the order of the store. Rejects with StoreError. */
export async function savedVersions(
  store: Store,
  limit: number,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const found = new Set<string>();
  for await (const { key } of store.list("", signal)) {
    const version = versionOfSnapshotKey(key);
    if (version !== undefined) found.add(version);
    if (found.size >= limit) break;
  }
  return [...found];
}
