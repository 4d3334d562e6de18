/** `kong-fallback status`: one shot: whether a new data plane gets a config; what is saved, how old it is, and how it compares with what the control plane has now. */

import type { ServiceError } from "../core/errors.ts";
import { formatHostPort } from "../core/host-port.ts";
import type { Result } from "../core/result.ts";
import { type BackoffPolicy, keepTrying, retryAfterMsOf } from "../core/trying.ts";
import type { LeaseDocument } from "../election/store.ts";
import { fetchConfig } from "../importer/probe.ts";
import { countEntities } from "../kong/entity-counts.ts";
import type { ConfigUpdate } from "../kong/reconfigure.ts";
import type { KongVersion } from "../kong/version.ts";
import { folderName, type VersionFolder } from "../maintenance/folder.ts";
import { questioner } from "../runtime/node-id.ts";
import type { Settings } from "../runtime/settings.ts";
import { onShutdown } from "../runtime/shutdown.ts";
import { isSameConfig } from "../snapshots/order.ts";
import type { FoundSighting } from "../snapshots/reader.ts";
import { type Seal, sealText } from "../snapshots/seal/seal.ts";
import { metadataOf } from "../snapshots/sighting.ts";
import { type SnapshotOrigin, takenAt } from "../snapshots/snapshot.ts";
import {
  type Comparison,
  exitStatusOf,
  type StoreStatus,
  statusOf,
  type Verdict,
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
import { storeReaderOf } from "./storage.ts";
import { formatBytes, formatDuration, formatList, wrap } from "./text.ts";

export const statusCommand: Command = async (given) => {
  const context = quietly(given, "status");
  const { settings, signals, clock, stdout, json } = context;
  using shutdown = onShutdown(signals, settings.shutdownTimeoutMs);
  const signal = shutdown.stop;
  await using opened = await openFolders(context, false, signal);
  const versions = await Promise.all(
    settings.kongVersions.map((version) => {
      const folders = opened.folders.filter((folder) => folder.version === version);
      const sight = (folder: VersionFolder, stop: AbortSignal) =>
        sightIn(folder, opened.seal, context, stop);
      const ask =
        settings.controlPlane === undefined
          ? undefined
          : (stop: AbortSignal) => askAs(context, version, stop);
      return statusOf(version, folders, { sight, ask }, signal);
    }),
  );
  const now = clock.now();
  if (json) {
    await printJson(
      stdout,
      versions.map((status) => toJson(status, now)),
      signal,
    );
  } else {
    const verdicts = versions.map((status) => verdictText(status, now));
    const details = versions.flatMap((status) => toTexts(status, settings, now));
    await print(stdout, [verdicts.join(""), ...details].join("\n"), signal);
  }
  return Math.max(...versions.map(exitStatusOf));
};

/** A store that stumbles is asked so often. */
const ATTEMPTS = 3;
const BACKOFF: BackoffPolicy = { minMs: 200, maxMs: 1_000 };

/** As readers see it, by their rules. */
async function sightIn(
  { store, version }: VersionFolder,
  seal: Seal,
  { settings, clock, random, log }: CommandContext,
  signal: AbortSignal,
): Promise<FoundSighting> {
  const reader = storeReaderOf(store, version, settings, { seal, log });
  let attempts = 0;
  const isWorthRetrying = (error: ServiceError) =>
    error.retryable && attempts < ATTEMPTS && retryAfterMsOf(error) <= BACKOFF.maxMs;
  const trying = { backoff: BACKOFF, clock, random, isWorthRetrying };
  const found = await keepTrying(trying, signal, (stop) => {
    attempts += 1;
    return reader.sight(undefined, stop);
  });
  if (found === undefined) throw new TypeError("unchanged, though nothing was seen before");
  return found;
}

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

/** The answer, and below it what should be known of it. */
function verdictText(status: VersionStatus, now: Date): string {
  const { verdict, version } = status;
  const below = (text: string) => `${wrap(oneLine(text), INDENT)}\n`;
  const line = (text: string) => below(text).slice(INDENT.length);
  if (verdict.kind === "no") {
    const { because, hint } = verdict;
    const answer = line(`NO: a new Kong ${version} data plane would start empty: ${because}`);
    return hint === undefined ? answer : `${answer}${below(`what to do: ${hint}`)}`;
  }
  const { found, from } = verdict;
  const metadata = metadataOf(found);
  const counts = countsOf(found);
  const at = metadata && takenAt(metadata);
  const config = [
    `config ${metadata?.configHash?.slice(0, HASH_DIGITS) ?? "of an unknown hash"}`,
    ...(counts === undefined
      ? []
      : [countText(counts["services"], "service"), countText(counts["routes"], "route")]),
    ...(at === undefined ? [] : [`saved ${formatDuration(now.getTime() - at.getTime())} ago`]),
    `from ${from.folder.store.url}`,
    ...(from.comparison.kind === "same" ? ["the same as the control plane has now"] : []),
  ];
  const answer = `yes: a new Kong ${version} data plane starts with ${config.join(", ")}`;
  return [line(answer), ...cautions(status, verdict, now).map((but) => below(`but ${but}`))].join(
    "",
  );
}

/** Of what follows the answer. */
const INDENT = "     ";
/** As many as an id of the history has. */
const HASH_DIGITS = 12;

function countText(count = 0, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** What keeps the answer from being the whole truth. */
function cautions(
  { version, stores }: VersionStatus,
  { found, from }: Extract<Verdict, { readonly kind: "yes" }>,
  now: Date,
): readonly string[] {
  const { comparison, newerId, held, heldBecause } = from;
  const metadata = metadataOf(found);
  const [newestHeld] = held ?? [];
  const isHeld =
    newestHeld !== undefined && metadata !== undefined && newestHeld.at > metadata.exportedAt;
  const others = stores.filter((store) => store !== from);
  return [
    ...(found.kongVersion === version
      ? []
      : [`it was saved for Kong ${found.kongVersion}; nothing was for ${version}`]),
    ...(found.origin.kind === "current"
      ? []
      : [`it comes from the history (${found.origin.id}), for the current object cannot be used`]),
    ...(found.kind === "open" ? [] : ["it is encrypted, and no key that is here opens it"]),
    ...(newerId === undefined ? [] : [`the history has a newer one, ${newerId}`]),
    ...(comparison.kind === "behind" ? ["the control plane has another config by now"] : []),
    ...(isHeld ? [`a newer config is held back: ${heldBecause ?? "no reason given"}`] : []),
    ...others.flatMap(({ folder, latest }) =>
      latest.kind === "bad" ? [`${folder.store.url} gives nothing: ${latest.error.message}`] : [],
    ),
    ...others.flatMap(({ folder, latest }) => {
      const other = latest.kind === "good" ? metadataOf(latest.value) : undefined;
      if (other === undefined || metadata === undefined || isSameConfig(other, metadata)) return [];
      return [`${folder.store.url} has another config, of ${formatTaken(other, now)}`];
    }),
  ];
}

type Facts = readonly (readonly [name: string, value: string])[];

function toTexts(
  { version, live, stores }: VersionStatus,
  { controlPlane, election }: Settings,
  now: Date,
): readonly string[] {
  const ofStores = stores.map((store) => {
    const facts: Facts = [
      ...snapshotFacts(store, now),
      ["held back", heldText(store)],
      ["lease", leaseText(store.lease, election, now)],
    ];
    return `${folderName(store.folder)}\n${formatList(facts)}`;
  });
  if (live === undefined || controlPlane === undefined) return ofStores;
  const name = `Kong ${version} at the control plane ${formatHostPort(controlPlane)}`;
  return [`${name}\n${formatList(liveFacts(live))}`, ...ofStores];
}

function liveFacts(live: Result<ConfigUpdate>): Facts {
  if (live.kind === "bad") {
    const { hint } = live.error;
    return [
      ["config", `unknown: ${oneLine(live.error.message)}`],
      ...(hint === undefined ? [] : [["try", hint] as const]),
    ];
  }
  const { configHash, configTable, clusterId } = live.value;
  return [
    ["cluster", clusterId ?? "unknown"],
    ["config hash", configHash ?? "unknown"],
    ["entities", summarise(countEntities(configTable))],
  ];
}

/** Of a message that lists several faults. */
function oneLine(message: string): string {
  return message.replaceAll(/\s*\n\s*/g, " ");
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
      return `unknown: ${oneLine(comparison.reason)}`;
    case "unasked":
      return "with nothing: no control plane is given";
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

function toJson(status: VersionStatus, now: Date): object {
  const { version, live, stores } = status;
  return {
    kongVersion: version,
    verdict: verdictJson(status, now),
    controlPlane: live === undefined ? null : liveJson(live),
    stores: stores.map(storeJson),
  };
}

function verdictJson(status: VersionStatus, now: Date): object {
  const { verdict } = status;
  if (verdict.kind === "no") {
    return { answer: "no", because: verdict.because, hint: verdict.hint ?? null };
  }
  const { found, from } = verdict;
  return {
    answer: "yes",
    configHash: metadataOf(found)?.configHash ?? null,
    kongVersion: found.kongVersion,
    store: from.folder.store.url,
    origin: found.origin,
    but: cautions(status, verdict, now),
  };
}

function liveJson(live: Result<ConfigUpdate>): object {
  if (live.kind === "bad") return errorJson(live.error);
  const { configHash = null, timestamp = null, clusterId = null } = live.value;
  return { configHash, timestamp, clusterId };
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
