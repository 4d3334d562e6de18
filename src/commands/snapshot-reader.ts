/** Stores to what readers read: shared by the commands that restore. */

import type { Log } from "../core/log.ts";
import type { KongVersion } from "../kong/version.ts";
import { NearestReader } from "../snapshots/reader.ts";
import { ReplicaReader } from "../snapshots/replicas.ts";
import type { Seal } from "../snapshots/seal/seal.ts";
import type { Found, FoundSnapshot, OnProgress } from "../snapshots/snapshot.ts";
import type { Store, Version } from "../store/port.ts";
import type { CommandContext } from "./context.ts";

/** See NearestReader, ReplicaReader. */
export interface ConfiguredReader {
  readonly name: string;
  /** Progress is told only where there is one store. */
  latest(signal: AbortSignal, onProgress?: OnProgress): Promise<FoundSnapshot>;
  refresh(seen: Version | undefined, signal: AbortSignal): Promise<Found | undefined>;
}

/** By the version rule of the settings. `stores` is not empty. */
export function readerOf(
  stores: readonly Store[],
  kongVersion: KongVersion,
  { settings, clock }: Pick<CommandContext, "settings" | "clock">,
  { seal, log }: { readonly seal: Seal; readonly log: Log },
): ConfiguredReader {
  const { maxConfigBytes, versionMatch: match, requireRehearsed } = settings;
  const replicas = stores.map(
    (store) =>
      new NearestReader({
        ...{ store, seal, kongVersion, maxConfigBytes, match, requireRehearsed, log },
      }),
  );
  const [only, another] = replicas;
  if (only !== undefined && another === undefined) return only;
  return new ReplicaReader({ replicas, kongVersion, clock, log });
}
