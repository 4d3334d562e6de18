/** Settings to stores, and to who reads snapshots in them: shared by the commands that read or write snapshots. */

import { readFile } from "node:fs/promises";
import { describeCause, ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { KongVersion } from "../kong/version.ts";
import { type Settings, SettingsError } from "../runtime/settings.ts";
import { preconditionsProbeKey } from "../snapshots/layout.ts";
import { type SnapshotReader, StoreReader } from "../snapshots/reader.ts";
import { ReplicaReader } from "../snapshots/replicas.ts";
import type { Seal } from "../snapshots/seal/seal.ts";
import { openStore } from "../store/open.ts";
import type { Store } from "../store/port.ts";
import { type PreconditionSupport, probePreconditions } from "../store/preconditions.ts";
import type { StorageLocation } from "../store/storage-url.ts";
import type { CommandContext } from "./context.ts";

/** Rejects with SettingsError or StoreError for what cannot work; sends nothing yet. */
export async function openConfiguredStore(
  location: StorageLocation,
  { settings, clock }: Pick<CommandContext, "settings" | "clock">,
): Promise<Store> {
  return openStore(location, {
    region: settings.awsRegion,
    endpoint: settings.s3Endpoint,
    addressing: settings.s3Addressing,
    caBundle: location.kind === "s3" ? await readBundle(settings.awsCaBundle) : undefined,
    putOptions: settings.s3PutOptions,
    credentials: settings.gcpServiceAccount,
    apiEndpoint: settings.gcsEmulator,
    azureCredentials: settings.azureCredentials,
    azureEndpoint: settings.azureEndpoint,
    proxies: {
      https: settings.storeProxies.https?.reveal(),
      http: settings.storeProxies.http?.reveal(),
      except: settings.storeProxies.except,
    },
    timeoutMs: settings.storeTimeoutMs,
    clock,
  });
}

export interface ConfiguredStores extends AsyncDisposable {
  /** In the order of the settings. */
  readonly stores: readonly Store[];
}

/**
 * Those that can be opened, for who reads what any of them has; of the others `log` tells. Rejects as
 * openConfiguredStore for the first where none can be.
 */
export async function openReadableStores(
  locations: readonly StorageLocation[],
  context: CommandContext,
  log: Log,
): Promise<ConfiguredStores> {
  const stores: Store[] = [];
  const faults: ServiceError[] = [];
  for (const location of locations) {
    try {
      stores.push(await openConfiguredStore(location, context));
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      faults.push(error);
      if (locations.length > 1) {
        log.error({ err: error, store: location.url }, "one of several stores cannot be used");
      }
    }
  }
  const [first] = faults;
  if (stores.length === 0 && first !== undefined) throw first;
  return { stores, [Symbol.asyncDispose]: () => closeAll(stores) };
}

async function closeAll(stores: readonly Store[]): Promise<void> {
  for (const store of stores) await store[Symbol.asyncDispose]();
}

/** Those of a list. Rejects as openConfiguredStore; then none is left open. */
export async function openConfiguredStores(
  locations: readonly StorageLocation[],
  context: CommandContext,
): Promise<ConfiguredStores> {
  const stores: Store[] = [];
  try {
    for (const location of locations) stores.push(await openConfiguredStore(location, context));
  } catch (error) {
    await closeAll(stores);
    throw error;
  }
  return { stores, [Symbol.asyncDispose]: () => closeAll(stores) };
}

/**
 * What `store` keeps, found out by trying and said in the log once; asked again until the store has
 * answered. `log` names the store.
 */
export class StoreTrial {
  readonly #store: Store;
  readonly #version: KongVersion;
  readonly #log: Log;
  #support: PreconditionSupport | undefined;

  constructor(store: Store, version: KongVersion, log: Log) {
    this.#store = store;
    this.#version = version;
    this.#log = log;
  }

  /** Whether it honours preconditions; one that does not is written without them. Rejects as `probePreconditions`. */
  async conditional(signal: AbortSignal): Promise<boolean> {
    const support = this.#support ?? (await this.#try(signal));
    return support.kind === "honoured" || support.kind === "contended";
  }

  /** Whether each write is known to make a version that none had before; false until it was tried. */
  get makesFreshVersions(): boolean {
    return this.#support?.kind === "honoured" && this.#support.makesFreshVersions;
  }

  async #try(signal: AbortSignal): Promise<PreconditionSupport> {
    const key = preconditionsProbeKey(this.#version);
    const support = await probePreconditions(this.#store, key, signal);
    this.#support = support;
    const { kind, explanation } = support;
    const fields = { support: kind, explanation };
    if (kind === "honoured" || kind === "contended") {
      this.#log.info(fields, "store honours conditional writes");
    } else {
      this.#log.warn(fields, "store does not honour conditional writes, run only one exporter");
    }
    return support;
  }
}

/** By the version rule of the settings; progress is told only where there is one store. `stores` is not empty. */
export function readerOf(
  stores: readonly Store[],
  kongVersion: KongVersion,
  context: Pick<CommandContext, "settings" | "clock">,
  { seal, log }: { readonly seal: Seal; readonly log: Log },
): SnapshotReader {
  const readers = stores.map((store) =>
    storeReaderOf(store, kongVersion, context.settings, { seal, log }),
  );
  const { clock } = context;
  const [only, another] = readers;
  if (only !== undefined && another === undefined) return only;
  return new ReplicaReader({ readers, kongVersion, clock, log });
}

/** As `readerOf`, of one store. */
export function storeReaderOf(
  store: Store,
  kongVersion: KongVersion,
  { maxConfigBytes, versionMatch: match, requireRehearsed }: Settings,
  { seal, log }: { readonly seal: Seal; readonly log: Log },
): StoreReader {
  return new StoreReader({
    ...{ store, seal, kongVersion, maxConfigBytes, match, requireRehearsed, log },
  });
}

async function readBundle(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const fault = (why: string) => new SettingsError([`AWS_CA_BUNDLE: ${path} ${why}`]);
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    throw fault(`cannot be read: ${describeCause(error)}`);
  });
  if (!text.includes("-----BEGIN CERTIFICATE-----")) throw fault("holds no PEM certificate");
  return text;
}
