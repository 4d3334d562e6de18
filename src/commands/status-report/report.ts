/** The answer of `status`, for people and as JSON. */

import type { ServiceError } from "../../core/errors.ts";
import type { LeaseDocument } from "../../election/store.ts";
import type { ConfigUpdate } from "../../kong/reconfigure.ts";
import type { KongVersion } from "../../kong/version.ts";
import type { Settings } from "../../runtime/settings.ts";
import { sealText } from "../../snapshots/seal/seal.ts";
import { metadataOf } from "../../snapshots/sighting.ts";
import type { SnapshotOrigin } from "../../snapshots/snapshot.ts";
import { formatBytes, formatDuration } from "../quantities.ts";
import {
  bytesOf,
  countsOf,
  describeRehearsed,
  errorJson,
  formatTaken,
  sightingJson,
  summarise,
} from "../snapshots/describe.ts";
import { formatList } from "../table.ts";
import { compareWith, comparisonText } from "./compare.ts";
import type { Saved } from "./saved.ts";

export interface VersionReport {
  readonly version: KongVersion;
  /** What the control plane has now, or why nobody knows. */
  readonly live: ConfigUpdate | ServiceError;
  /** One for each store. */
  readonly saved: readonly Saved[];
  readonly election: Settings["election"];
}

export function reportText({ version, live, saved, election }: VersionReport, now: Date): string {
  return saved
    .map((each) => {
      const facts = [
        ...snapshotFacts(each, live, now),
        ["held back", heldText(each)] as const,
        ["lease", leaseText(each.lease, election, now)] as const,
      ];
      return `Kong ${version} in ${each.place.store.url}\n${formatList(facts)}`;
    })
    .join("\n");
}

export function reportJson({ version, live, saved }: VersionReport): object {
  return {
    kongVersion: version,
    controlPlane:
      live instanceof Error
        ? errorJson(live)
        : { configHash: live.configHash ?? null, timestamp: live.timestamp ?? null },
    stores: saved.map(({ place, latest, newerId, held, heldBecause, lease }) => ({
      store: place.store.url,
      ...(latest.kind === "bad"
        ? errorJson(latest.error)
        : {
            ...sightingJson(latest.snapshot),
            origin: latest.snapshot.origin,
            comparison: compareWith(live, metadataOf(latest.snapshot)),
          }),
      newerId: newerId ?? null,
      held: held?.map(({ id }) => id) ?? null,
      heldBecause: heldBecause ?? null,
      lease: lease.kind === "bad" ? errorJson(lease.error) : leaseJson(lease.snapshot),
    })),
  };
}

type Facts = readonly (readonly [name: string, value: string])[];

function snapshotFacts({ latest, newerId }: Saved, live: VersionReport["live"], now: Date): Facts {
  if (latest.kind === "bad") {
    const { message, hint } = latest.error;
    return [
      ["saved", `nothing usable: ${message}`],
      ...(hint === undefined ? [] : [["try", hint] as const]),
    ];
  }
  const sighting = latest.snapshot;
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
            `it is older than ${newerId} of the history: somebody may have put it back`,
          ] as const,
        ]),
    ["rehearsed", describeRehearsed(metadata)],
    ...(seal === "" ? [] : [["seal", seal] as const]),
    ...(sighting.kind === "open" ? [] : [["opened", `no: ${sighting.why.message}`] as const]),
    ["config hash", metadata?.configHash ?? "unknown"],
    ["entities", counts === undefined ? "unknown: none of our keys opens it" : summarise(counts)],
    ["compared", comparisonText(compareWith(live, metadata))],
  ];
}

function originFacts(origin: SnapshotOrigin): Facts {
  if (origin.kind === "current") return [];
  return [
    [
      "attention",
      `the current object cannot be used (the log says why), readers get ${origin.id} instead`,
    ],
  ];
}

/** Held ones stay in the history after a later config has passed. */
function heldText({ held, heldBecause, latest }: Saved): string {
  if (held === undefined) return "unknown";
  const [newest] = held;
  if (newest === undefined) return "none";
  const saved = latest.kind === "bad" ? undefined : metadataOf(latest.snapshot);
  const isOlder = saved !== undefined && newest.at <= saved.exportedAt;
  const age = isOlder ? ", older than what is saved" : "";
  return `${held.length}, the newest ${newest.id}${age}: ${heldBecause ?? "no reason given"}`;
}

function leaseText(lease: Saved["lease"], election: Settings["election"], now: Date): string {
  if (election === "kubernetes") return "in Kubernetes: kubectl get leases";
  if (election === "off") return "none: KONG_FALLBACK_ELECTION is off";
  if (lease.kind === "bad") return `unknown: ${lease.error.message}`;
  if (lease.snapshot === undefined) return "none: no exporter was elected for this store";
  const { holder, hostname, state, token, renewedAt } = lease.snapshot;
  const age = formatDuration(now.getTime() - renewedAt.getTime());
  const who = `${holder} on ${hostname}, token ${token}`;
  return state === "held"
    ? `held by ${who}, renewed ${age} ago by its clock`
    : `free, released ${age} ago by ${who}`;
}

function leaseJson(lease: LeaseDocument | undefined): object | null {
  if (lease === undefined) return null;
  const { holder, hostname, state, token, ttlMs, renewedAt } = lease;
  return { holder, hostname, state, token, ttlMs, renewedAt };
}
