/** Runs commands as cli.ts does, inside the test's own process, over a directory of snapshots. */

import { EventEmitter } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { vi } from "vitest";
import { parseCommandLine } from "../../../src/commands/command-line.ts";
import { exitStatusOf, printError } from "../../../src/commands/failure.ts";
import type { Clock } from "../../../src/core/clock.ts";
import type { KongVersion } from "../../../src/kong/version.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { createLogger } from "../../../src/runtime/logger.ts";
import { readSettings } from "../../../src/runtime/settings.ts";
import { Archive } from "../../../src/snapshots/archive.ts";
import { currentKey } from "../../../src/snapshots/layout.ts";
import { encodeMetadata } from "../../../src/snapshots/metadata.ts";
import { PLAIN_SEAL, type Seal } from "../../../src/snapshots/seal/seal.ts";
import {
  type NewSnapshot,
  type SnapshotMetadata,
  sha256,
} from "../../../src/snapshots/snapshot.ts";
import { FileStore } from "../../../src/store/file.ts";
import type { Store } from "../../../src/store/port.ts";
import { kongVersion, NEWER, snapshotOf, V391 } from "../../fakes/config.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";

export const NEVER = new AbortController().signal;

/** A store at which nobody answers, and the settings that point there. */
export const DEAD_STORE_URL = "s3://bucket/prefix";
export const DEAD_STORE = s3At("http://127.0.0.1:9");

/** What the SDK of S3 reads from the environment by itself is put there, too, and stays: no test run by the same process expects other credentials, or none. */
export function s3At(endpoint: string): Readonly<Record<string, string>> {
  const credentials = { AWS_ACCESS_KEY_ID: "fake-key-id", AWS_SECRET_ACCESS_KEY: "canary" };
  for (const [name, value] of Object.entries(credentials)) vi.stubEnv(name, value);
  return { ...credentials, AWS_REGION: "us-east-1", AWS_CONFIG_STORAGE_ENDPOINT: endpoint };
}

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class SnapshotsStage implements AsyncDisposable {
  readonly directory: string;
  /** What `save`, `hold` and `putBack` write to. */
  readonly store: Store;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #clock: Clock;
  readonly #seal: Seal;

  private constructor(
    directory: string,
    environment: Readonly<Record<string, string>>,
    clock: Clock,
    seal: Seal,
    store: Store | undefined,
  ) {
    this.directory = directory;
    this.#clock = clock;
    this.#seal = seal;
    const url = `file://${directory}`;
    this.store = store ?? new FileStore({ url, directory, clock: systemClock });
    this.#environment = {
      KONG_VERSION: "3.9.1",
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: url,
      KONG_FALLBACK_PROBE_TIMEOUT: "0.5",
      ...environment,
    };
  }

  static async open(
    options: {
      readonly environment?: Readonly<Record<string, string>>;
      readonly clock?: Clock;
      /** Of the exporter that `save` and `hold` stand for. */
      readonly seal?: Seal;
      /** In place of the directory, which the environment then has to name. */
      readonly store?: Store;
    } = {},
  ): Promise<SnapshotsStage> {
    const directory = await mkdtemp(join(tmpdir(), "kong-fallback-snapshots-"));
    const { environment = {}, clock = systemClock, seal = PLAIN_SEAL, store } = options;
    return new SnapshotsStage(directory, environment, clock, seal, store);
  }

  path(...names: readonly string[]): string {
    return join(this.directory, ...names);
  }

  archive(version: KongVersion = V391): Archive {
    return new Archive({
      store: this.store,
      kongVersion: version,
      seal: this.#seal,
      maxConfigBytes: 20_000_000,
      keepHistory: true,
      log: new RecordingLog(),
    });
  }

  /** Saves as an exporter does; resolves to the id in the history. */
  async save(snapshot: NewSnapshot): Promise<string> {
    const archive = this.archive(snapshot.metadata.kongVersion);
    await archive.save(snapshot, { conditional: true, provenance: NEWER }, NEVER);
    return this.newestId(archive);
  }

  /** Puts it in the place of the current one, whatever lies there, as a hand that copies objects does. */
  async putBack({ config, metadata }: NewSnapshot, seal = this.#seal): Promise<void> {
    const sealed = await seal.close(config, encodeMetadata(metadata));
    const options = { metadata: sealed.metadata, contentType: "application/json" };
    await this.store.put(currentKey(metadata.kongVersion), sealed.body, options, NEVER);
  }

  async hold(snapshot: NewSnapshot, held: string): Promise<string> {
    return this.archive().history.add(snapshot, { held, conditional: true }, NEVER);
  }

  async newestId(archive = this.archive()): Promise<string> {
    const [newest] = await archive.history.list(NEVER);
    if (newest === undefined) throw new Error("the history is empty");
    return newest.id;
  }

  /** `answer`: typed on a terminal; without one there is no terminal. */
  async run(
    argv: readonly string[],
    more: {
      readonly answer?: string;
      readonly environment?: Readonly<Record<string, string>>;
    } = {},
  ): Promise<Ran> {
    const isTTY = more.answer !== undefined;
    const stdin = Object.assign(new PassThrough(), { isTTY });
    if (more.answer !== undefined) stdin.end(`${more.answer}\n`);
    const stdout = new Sink();
    const stderr = Object.assign(new Sink(), { isTTY });
    const status = await this.#runWith(argv, { stdin, stdout, stderr, ...more }).catch(
      (error: unknown) => {
        printError(error, stderr);
        return exitStatusOf(error);
      },
    );
    return { status, stdout: stdout.text, stderr: stderr.text };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
  }

  async #runWith(
    argv: readonly string[],
    streams: {
      readonly stdin: PassThrough & { readonly isTTY: boolean };
      readonly stdout: Sink;
      readonly stderr: Sink & { readonly isTTY: boolean };
      readonly environment?: Readonly<Record<string, string>>;
    },
  ): Promise<number> {
    const environment = { ...this.#environment, ...streams.environment };
    const line = parseCommandLine(argv, environment, () => streams.stdin);
    if (line.kind === "print") throw new Error("help was printed");
    const settings = readSettings(line.environment);
    const command = await line.load(settings);
    return command({
      settings,
      log: createLogger({ level: settings.logLevel, stream: streams.stderr }),
      stdout: streams.stdout,
      stderr: streams.stderr,
      json: line.json,
      signals: new EventEmitter(),
      hostname: "workstation",
      clock: this.#clock,
      random: () => 0,
    });
  }
}

class Sink extends Writable {
  text = "";

  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** A snapshot of this config, taken `minutes` after noon under this token. */
export function snapshotAt(
  minutes: number,
  table: Readonly<Record<string, unknown>>,
  overrides: Partial<SnapshotMetadata> = {},
): NewSnapshot {
  const config = Buffer.from(JSON.stringify({ _format_version: "3.0", ...table }));
  const seconds = Date.parse("2026-11-21T12:00:00Z") / 1000 + minutes * 60;
  const { metadata } = snapshotOf("any", {
    configHash: sha256(config).slice(0, 32),
    hashes: {},
    hashMatch: "unchecked",
    sha256: sha256(config),
    bytes: config.length,
    controlPlaneTimestamp: seconds,
    exportedAt: new Date(seconds * 1000),
    fencingToken: 1,
    ...overrides,
  });
  return { config, metadata };
}

/** As many services with these names. */
export function services(...names: readonly string[]) {
  return { services: names.map((name) => ({ id: `id-${name}`, name, port: 80 })) };
}

/** As control planes send it along. */
export function ofCluster(value: string) {
  return { parameters: [{ key: "cluster_id", value, created_at: null }] };
}

export { kongVersion };
