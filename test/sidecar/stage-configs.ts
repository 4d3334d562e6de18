/** Configs for the tests of whole sessions: long ones, and those of real control planes. */

import { createHash, randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { decodeReconfigure } from "../../src/kong/reconfigure.ts";
import type { KongVersion } from "../../src/kong/version.ts";
import type { NewSnapshot } from "../../src/snapshots/snapshot.ts";
import { snapshotOf, V391 } from "../fakes/config.ts";
import { capture, NO_HASH } from "../source/harness.ts";

/** A frame of about this many bytes that a data plane takes, and the snapshot in it. */
export function largeConfig(name: string, bytes: number) {
  const { metadata } = snapshotOf(name);
  const pad = randomBytes(Math.ceil((bytes * 3) / 4)).toString("base64");
  const table = Buffer.from(JSON.stringify({ _format_version: "3.0", _transform: false, pad }));
  const configHash = createHash("md5").update(name).digest("hex");
  const text = `{"type":"reconfigure","timestamp":${metadata.controlPlaneTimestamp},"config_hash":"${configHash}","config_table":${table}}`;
  const sha256 = createHash("sha256").update(table).digest("hex");
  const snapshot: NewSnapshot = {
    config: table,
    metadata: { ...metadata, configHash, sha256, bytes: table.length },
  };
  return { frame: gzipSync(text, { level: 0 }), snapshot, configHash };
}

/** A recorded frame, and the snapshot in it. */
export async function recorded(file: string, kongVersion: KongVersion = V391) {
  const frame = capture(file);
  const update = await decodeReconfigure(frame, { maxConfigBytes: 1_000_000 });
  const { configTable: config, configHash = NO_HASH, hashes, timestamp } = update;
  const { metadata } = snapshotOf(file, { kongVersion, configHash, hashes });
  const sha256 = createHash("sha256").update(config).digest("hex");
  const snapshot: NewSnapshot = {
    config,
    metadata: { ...metadata, sha256, bytes: config.length, controlPlaneTimestamp: timestamp },
  };
  return { frame, snapshot, configHash };
}
