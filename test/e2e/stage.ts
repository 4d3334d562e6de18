/** What the end-to-end tests play on: a directory, a cluster certificate, recorded frames. */

import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import type { ClusterCertificate } from "../../src/kong/cluster-certificate.ts";
import type { ClusterTls } from "../../src/kong/cluster-tls.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { Archive } from "../../src/snapshots/archive.ts";
import { PLAIN_SEAL } from "../../src/snapshots/seal/seal.ts";
import type { NewSnapshot } from "../../src/snapshots/snapshot.ts";
import { FileStore } from "../../src/store/file.ts";
import { clusterCertificate, sharedTls } from "../fakes/certificates.ts";
import { updateOf } from "../fakes/config.ts";
import { FakeControlPlane, type FakeControlPlaneOptions } from "../fakes/control-plane.ts";
import { RecordingLog } from "../fakes/recording-log.ts";

export class Stage implements AsyncDisposable {
  readonly directory: string;
  readonly pair: ClusterCertificate;
  readonly tls: ClusterTls;

  private constructor(directory: string, pair: ClusterCertificate, tls: ClusterTls) {
    this.directory = directory;
    this.pair = pair;
    this.tls = tls;
  }

  static async open(pairGiven?: ClusterCertificate): Promise<Stage> {
    const pair = pairGiven ?? (await clusterCertificate());
    const directory = await mkdtemp(join(tmpdir(), "kong-fallback-e2e-"));
    await writeFile(join(directory, "cluster.crt"), pair.cert);
    await writeFile(join(directory, "cluster.key"), pair.key.reveal(), { mode: 0o600 });
    return new Stage(directory, pair, await sharedTls(pair));
  }

  path(...names: readonly string[]): string {
    return join(this.directory, ...names);
  }

  /** One of this cluster; by default it sends a small config, "a". */
  controlPlane(
    options: Omit<FakeControlPlaneOptions, "tls"> = { config: frameOf("a").frame },
  ): Promise<FakeControlPlane> {
    return FakeControlPlane.listen({ tls: this.tls, ...options });
  }

  /** For export and import alike, over a file store. */
  environment(port: number, more: Readonly<Record<string, string>> = {}): Record<string, string> {
    return {
      KONG_CLUSTER_CONTROL_PLANE: `127.0.0.1:${port}`,
      KONG_CLUSTER_CERT: this.path("cluster.crt"),
      KONG_CLUSTER_CERT_KEY: this.path("cluster.key"),
      KONG_VERSION: "3.9.1",
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: `file://${this.path("store")}`,
      KONG_CLUSTER_FALLBACK_CONFIG_EXPORT_DELAY: "0",
      KONG_FALLBACK_IMPORT_TO: `file:${this.path("kong.json")}`,
      KONG_FALLBACK_PROBE_TIMEOUT: "0.5",
      // A busy machine needs some time to decrypt; where the store is down, this is how long a test takes.
      KONG_FALLBACK_READ_TIMEOUT: "3",
      KONG_FALLBACK_STATE_DIR: this.path("state"),
      KONG_FALLBACK_STATUS_LISTEN: "off",
      ...more,
    };
  }

  /** The saved object of a version. */
  saved(version = "3.9.1"): Promise<Buffer> {
    return readFile(this.path("store", version, "config.json"));
  }

  /** Saves a snapshot as `export` does, by default without a history. */
  async save(snapshot: NewSnapshot, seal = PLAIN_SEAL, keepHistory = false): Promise<void> {
    const directory = this.path("store");
    await using store = new FileStore({
      url: `file://${directory}`,
      directory,
      clock: systemClock,
    });
    const { kongVersion } = snapshot.metadata;
    const archive = new Archive({
      store,
      kongVersion,
      seal,
      maxConfigBytes: 1_000_000,
      keepHistory,
      log: new RecordingLog(),
    });
    await archive.save(snapshot, { conditional: true }, new AbortController().signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}

export function captured(version: string, name: string): { frame: Buffer; configTable: Buffer } {
  const frame = readFileSync(
    new URL(`../fixtures/captures/${version}/${name}.reconfigure.bin`, import.meta.url),
  );
  return { frame, configTable: configTableOf(frame) };
}

/** A small config as a control plane sends it. */
export function frameOf(name: string, timestamp?: number): { frame: Buffer; configTable: Buffer } {
  const update = updateOf(name, timestamp);
  const frame = gzipSync(
    `{"type":"reconfigure","timestamp":${update.timestamp},"config_hash":"${update.configHash}","config_table":${Buffer.from(update.configTable).toString()}}`,
  );
  return { frame, configTable: Buffer.from(update.configTable) };
}

/** Found without the product's scanner: recorded payloads have config_table either before or after their other, flat members. */
function configTableOf(frame: Buffer): Buffer {
  const text = gunzipSync(frame).toString("latin1");
  const start = text.indexOf('"config_table":') + '"config_table":'.length;
  const tail = /,"(?:type|timestamp|config_hash|hashes)":(?:"[^"]*"|[\d.]+|\{[^{}]*\})/g;
  let end = text.length - 1;
  for (;;) {
    const last = [...text.slice(start, end).matchAll(tail)].find(
      (match) => start + match.index + match[0].length === end,
    );
    if (last === undefined) break;
    end = start + last.index;
  }
  return Buffer.from(text.slice(start, end), "latin1");
}
