/** Small configs for tests that do not need a recorded one. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { computeConfigHash } from "../../src/kong/config-hash.ts";
import type { ConfigUpdate } from "../../src/kong/reconfigure.ts";
import { type KongVersion, parseKongVersion } from "../../src/kong/version.ts";
import type { Provenance } from "../../src/snapshots/order.ts";
import type { NewSnapshot, SnapshotMetadata } from "../../src/snapshots/snapshot.ts";

export function kongVersion(text: string): KongVersion {
  const version = parseKongVersion(text);
  assert.ok(version);
  return version;
}

export const V391 = kongVersion("3.9.1");

/** Of a config that is known to be newer than all that was ever saved. */
export const NEWER: Provenance = { asOfMs: Number.POSITIVE_INFINITY, follows: () => false };

/** A config that differs from every other `name`. */
export function configBytes(name: string, clusterId?: string): Buffer {
  const parameters = [{ key: "cluster_id", value: clusterId, created_at: null }];
  return Buffer.from(
    JSON.stringify({
      ...{ _format_version: "3.0", _transform: false, services: [{ name }] },
      ...(clusterId === undefined ? {} : { parameters }),
    }),
  );
}

export function updateOf(
  name: string,
  timestamp = 1_795_220_000,
  clusterId?: string,
): ConfigUpdate {
  const configTable = configBytes(name, clusterId);
  const configHash = computeConfigHash(configTable, V391);
  return { configTable, configHash, hashes: { config: configHash }, timestamp, clusterId };
}

/** Of two control planes. */
export const [CLUSTER_1, CLUSTER_2] = [
  "e7812444-1462-4a17-b514-1555b47caa5e",
  "a3247add-e189-4ca6-8503-7ec3c609aada",
] as const;

export function snapshotOf(name: string, overrides: Partial<SnapshotMetadata> = {}): NewSnapshot {
  const update = updateOf(name, undefined, overrides.clusterId);
  return {
    config: update.configTable,
    metadata: {
      kongVersion: V391,
      configHash: update.configHash,
      hashes: update.hashes,
      hashMatch: "true",
      sha256: createHash("sha256").update(update.configTable).digest("hex"),
      bytes: update.configTable.length,
      clusterId: undefined,
      controlPlaneTimestamp: update.timestamp,
      exportedAt: new Date("2026-11-21T12:00:00Z"),
      exporterId: "exporter-1",
      fencingToken: 0,
      rehearsed: undefined,
      entities: undefined,
      ...overrides,
    },
  };
}
