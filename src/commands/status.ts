/** `kong-fallback status`: one shot: what is saved, how old it is, and how it compares with what the control plane has now. */

import type { LeaseDocument } from "../election/store.ts";
import { fetchConfig } from "../importer/probe.ts";
import type { ConfigUpdate } from "../kong/reconfigure.ts";
import type { KongVersion } from "../kong/version.ts";
import { folderName } from "../maintenance/folder.ts";
import { questioner } from "../runtime/node-id.ts";
import type { Settings } from "../runtime/settings.ts";
import { onShutdown } from "../runtime/shutdown.ts";
import { sealText } from "../snapshots/seal/seal.ts";
import { metadataOf } from "../snapshots/sighting.ts";
import type { SnapshotOrigin } from "../snapshots/snapshot.ts";
import {
  type Comparison,
  exitStatusOf,
  type StoreStatus,
  statusOf,
  type VersionStatus,
} from "../status/status.ts";
import { openHybridSource, requireCluster } from "./cluster.ts";
import { type Command, type CommandContext, readInTime } from "./context.ts";
import { openFolders } from "./folders.ts";
import { print, printJson, quietly } from "./output.ts";
import {
  bytesOf,
  countsOf,
  describeRehearsed,
  errorJson,
  formatTaken,
  sightingJson,
  summarise,
} from "./snapshots/describe.ts";
import { formatBytes, formatDuration, formatList } from "./text.ts";

export const statusCommand: Command = async (given) => {
  const context = quietly(given, "status");
  const { settings, signals, clock, stdout, json } = context;
  using shutdown = onShutdown(signals, settings.shutdownTimeoutMs);
  const signal = shutdown.stop;
  await using opened = await openFolders(context, false, signal);
  const versions = await Promise.all(
    settings.kongVersions.map((version) => {
      const folders = opened.folders.filter((folder) => folder.version === version);
      const ask = (stop: AbortSignal) => askAs(context, version, stop);
      return statusOf(version, folders, ask, signal);
    }),
  );
  if (json) {
    await printJson(stdout, versions.map(toJson), signal);
  } else {
    const now = clock.now();
    const texts = versions.map((status) => toText(status, settings.election, now));
    await print(stdout, texts.join("\n"), signal);
  }
  return Math.max(...versions.map(exitStatusOf));
};

/** As a data plane of this version. */
async function askAs(
  context: CommandContext,
  version: KongVersion,
  signal: AbortSignal,
): Promise<ConfigUpdate> {
  const { settings, clock, random, log } = context;
  const cluster = requireCluster("comparing with the control plane", settings);
  await using source = await readInTime("the cluster's certificates", context, signal, () =>
    openHybridSource({
      settings,
      cluster,
      ...questioner(version),
      version,
      isQuestion: true,
      clock,
    }),
  );
  const { probeTimeoutMs: timeoutMs } = settings;
  return await fetchConfig(source, { timeoutMs, clock, random, log }, signal);
}

type Facts = readonly (readonly [name: string, value: string])[];

function toText({ stores }: VersionStatus, election: Settings["election"], now: Date): string {
  return stores
    .map((store) => {
      const facts: Facts = [
        ...snapshotFacts(store, now),
        ["held back", heldText(store)],
        ["lease", leaseText(store.lease, election, now)],
      ];
      return `${folderName(store.folder)}\n${formatList(facts)}`;
    })
    .join("\n");
}

function snapshotFacts({ latest, newerId, comparison }: StoreStatus, now: Date): Facts {
  if (latest.kind === "bad") {
    const { message, hint } = latest.error;
    return [
      ["saved", `nothing usable: ${message}`],
      ...(hint === undefined ? [] : [["try", hint] as const]),
    ];
  }
  const sighting = latest.value;
  const metadata = metadataOf(sighting);
  const bytes = bytesOf(sighting);
  const size = bytes === undefined ? "size unknown" : formatBytes(bytes);
  const token = metadata === undefined ? "no metadata" : `fencing token ${metadata.fencingToken}`;
  const seal = sealText(sighting.marks);
  const counts = countsOf(sighting);
  return [
    ["saved", `${formatTaken(metadata, now)}, ${size}, ${token}`],
    ...originFacts(sighting.origin),
    ...(newerId === undefined
      ? []
      : [
          [
            "attention",
            `it is older than ${newerId} in the history: somebody may have put it back`,
          ] as const,
        ]),
    ["rehearsed", describeRehearsed(metadata)],
    ...(seal === "" ? [] : [["seal", seal] as const]),
    ...(sighting.kind === "open" ? [] : [["opened", `no: ${sighting.why.message}`] as const]),
    ["cluster", metadata?.clusterId ?? "unknown"],
    ["config hash", metadata?.configHash ?? "unknown"],
    ["entities", counts === undefined ? "unknown: none of our keys opens it" : summarise(counts)],
    ["compared", comparisonText(comparison)],
  ];
}

function originFacts(origin: SnapshotOrigin): Facts {
  if (origin.kind === "current") return [];
  return [
    [
      "attention",
      `the current object cannot be used (the log says why); readers get ${origin.id} instead`,
    ],
  ];
}

function comparisonText(comparison: Comparison): string {
  switch (comparison.kind) {
    case "same":
      return "same as what the control plane has now";
    case "behind":
      return comparison.seconds === undefined
        ? "not what the control plane has now"
        : `behind the control plane by ${comparison.seconds} s`;
    case "foreign":
      return `another cluster's: the control plane is of cluster ${comparison.live}. Check the storage URL's prefix and KONG_CLUSTER_CONTROL_PLANE`;
    case "ahead":
      return `not what the control plane has now, and newer by ${comparison.seconds} s: it was restored, or the control planes' clocks differ`;
    case "unknown":
      return `unknown: ${comparison.reason}`;
    default:
      return comparison satisfies never;
  }
}

/** Held ones stay in the history after a later config has passed. */
function heldText({ held, heldBecause, latest }: StoreStatus): string {
  if (held === undefined) return "unknown";
  const [newest] = held;
  if (newest === undefined) return "none";
  const saved = latest.kind === "bad" ? undefined : metadataOf(latest.value);
  const isOlder = saved !== undefined && newest.at <= saved.exportedAt;
  const age = isOlder ? ", older than what is saved" : "";
  return `${held.length}, the newest ${newest.id}${age}: ${heldBecause ?? "no reason given"}`;
}

function leaseText(lease: StoreStatus["lease"], election: Settings["election"], now: Date): string {
  if (election === "kubernetes") return "in Kubernetes: kubectl get leases";
  if (election === "off") return "none: KONG_FALLBACK_ELECTION is off";
  if (lease.kind === "bad") return `unknown: ${lease.error.message}`;
  if (lease.value === undefined) return "none: no exporter was elected for this store";
  const { holder, hostname, state, token, renewedAt } = lease.value;
  const age = formatDuration(now.getTime() - renewedAt.getTime());
  const who = `${holder} on ${hostname}, token ${token}`;
  return state === "held"
    ? `held by ${who}, renewed ${age} ago by its clock`
    : `free, released ${age} ago by ${who}`;
}

function toJson({ version, live, stores }: VersionStatus): object {
  return {
    kongVersion: version,
    controlPlane:
      live.kind === "bad"
        ? errorJson(live.error)
        : {
            configHash: live.value.configHash ?? null,
            timestamp: live.value.timestamp ?? null,
            clusterId: live.value.clusterId ?? null,
          },
    stores: stores.map(storeJson),
  };
}

function storeJson(status: StoreStatus): object {
  const { folder, latest, comparison, newerId, held, heldBecause, lease } = status;
  return {
    store: folder.store.url,
    ...(latest.kind === "bad"
      ? errorJson(latest.error)
      : { ...sightingJson(latest.value), origin: latest.value.origin, comparison }),
    newerId: newerId ?? null,
    held: held?.map(({ id }) => id) ?? null,
    heldBecause: heldBecause ?? null,
    lease: lease.kind === "bad" ? errorJson(lease.error) : leaseJson(lease.value),
  };
}

function leaseJson(lease: LeaseDocument | undefined): object | null {
  if (lease === undefined) return null;
  const { holder, hostname, state, token, ttlMs, renewedAt } = lease;
  return { holder, hostname, state, token, ttlMs, renewedAt };
}
