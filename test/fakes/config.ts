/** Small configs for tests that do not need a recorded one. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { computeConfigHash } from "../../src/kong/config-hash.ts";
import type { ConfigUpdate } from "../../src/kong/reconfigure.ts";
import { type KongVersion, parseKongVersion } from "../../src/kong/version.ts";
import type { NewSnapshot, SnapshotMetadata } from "../../src/snapshots/snapshot.ts";

export function kongVersion(text: string): KongVersion {
  const version = parseKongVersion(text);
  assert.ok(version);
  return version;
}

export const V391 = kongVersion("3.9.1");

/** A config that differs from every other `name`. */
export function configBytes(name: string): Buffer {
  return Buffer.from(
    JSON.stringify({ _format_version: "3.0", _transform: false, services: [{ name }] }),
  );
}

export function updateOf(name: string, timestamp = 1_795_220_000): ConfigUpdate {
  const configTable = configBytes(name);
  const configHash = computeConfigHash(configTable, V391);
  return { configTable, configHash, hashes: { config: configHash }, timestamp };
}

export function snapshotOf(name: string, overrides: Partial<SnapshotMetadata> = {}): NewSnapshot {
  const update = updateOf(name);
  return {
    config: update.configTable,
    metadata: {
      kongVersion: V391,
      configHash: update.configHash,
      hashes: update.hashes,
      hashMatch: "true",
      sha256: createHash("sha256").update(update.configTable).digest("hex"),
      bytes: update.configTable.length,
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
