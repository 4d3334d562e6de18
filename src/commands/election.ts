/** Settings to an election: which exporter writes, for one Kong version in one store. */

import { createHash } from "node:crypto";
import type { Log } from "../core/log.ts";
import { processIdentity } from "../core/process-identity.ts";
import { NoElection } from "../election/none.ts";
import type { Election } from "../election/port.ts";
import { StoreElection } from "../election/store.ts";
import type { KongVersion } from "../kong/version.ts";
import type { Archive } from "../snapshots/archive.ts";
import { leaseKey } from "../snapshots/layout.ts";
import type { Store } from "../store/port.ts";
import type { CommandContext } from "./context.ts";

export interface ElectionRequest {
  readonly version: KongVersion;
  readonly store: Store;
  readonly archive: Archive;
  readonly exporterId: string;
  /** Whether the store honours preconditions. */
  readonly conditional: (signal: AbortSignal) => Promise<boolean>;
  readonly log: Log;
}

/** Rejects with ElectionError where the settings name none that is possible. */
export async function openElection(
  { settings, hostname, clock, random }: CommandContext,
  { version, store, archive, exporterId, conditional, log }: ElectionRequest,
): Promise<Election> {
  const { election, leaseTtlMs: ttlMs, electionId, storages } = settings;
  const floor = (signal: AbortSignal) => archive.highestToken(signal);
  const exporter = { id: exporterId, hostname, process: await processIdentity() };
  const common = { exporter, ttlMs, floor, clock, random, log };
  switch (election) {
    case "store":
      return new StoreElection({ ...common, store, key: leaseKey(version), conditional });
    case "off":
      return new NoElection({ ...common, name: `${version} in ${store.url}` });
    case "kubernetes": {
      const { leaseName, openKubernetesElection } = await import("../election/kubernetes.ts");
      // Each store has its own writer, and so its own Lease, whatever their order.
      const id = storages.length > 1 ? `${electionId}-${shortHash(store.url)}` : electionId;
      return openKubernetesElection({
        ...common,
        leaseName: leaseName(id, version),
        store: store.url,
        access: {
          kubeconfig: settings.kubeconfig,
          service: settings.kubernetesService,
          namespace: settings.electionNamespace,
        },
      });
    }
    default:
      return election satisfies never;
  }
}

function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 8);
}
