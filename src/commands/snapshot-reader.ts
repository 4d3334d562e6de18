/** Stores to what readers read: shared by the commands that restore. */

import type { Log } from "../core/log.ts";
import type { KongVersion } from "../kong/version.ts";
import { type SnapshotReader, StoreReader } from "../snapshots/reader.ts";
import { ReplicaReader } from "../snapshots/replicas.ts";
import type { Seal } from "../snapshots/seal/seal.ts";
import type { Store } from "../store/port.ts";
import type { CommandContext } from "./context.ts";

/** By the version rule of the settings; progress is told only where there is one store. `stores` is not empty. */
export function readerOf(
  stores: readonly Store[],
  kongVersion: KongVersion,
  { settings, clock }: Pick<CommandContext, "settings" | "clock">,
  { seal, log }: { readonly seal: Seal; readonly log: Log },
): SnapshotReader {
  const { maxConfigBytes, versionMatch: match, requireRehearsed } = settings;
  const readers = stores.map(
    (store) =>
      new StoreReader({
        ...{ store, seal, kongVersion, maxConfigBytes, match, requireRehearsed, log },
      }),
  );
  const [only, another] = readers;
  if (only !== undefined && another === undefined) return only;
  return new ReplicaReader({ readers, kongVersion, clock, log });
}
