/** Settings to folders: each Kong version in each store, for the commands that answer a person. */

import { foldersOf, type VersionFolder, versionsIn } from "../maintenance/folder.ts";
import { SettingsError } from "../runtime/settings.ts";
import type { Seal } from "../snapshots/seal/seal.ts";
import { ReadDeadlineStore } from "../store/read-deadline.ts";
import type { Terminal } from "./confirm.ts";
import { type CommandContext, readTogether, requireSettings } from "./context.ts";
import { openConfiguredSeal } from "./seal.ts";
import { openConfiguredStores } from "./storage.ts";

export interface OpenFolders extends AsyncDisposable {
  /** Not empty: the versions in the order of the settings, of each the stores in theirs. */
  readonly folders: readonly VersionFolder[];
  readonly seal: Seal;
}

/** What an action of `snapshots` is given. */
export interface ActionContext extends CommandContext {
  readonly stdin: Terminal["stdin"];
  readonly folders: readonly VersionFolder[];
  readonly seal: Seal;
}

/**
 * Those of KONG_VERSION, with `allVersions` also those of which anything lies in the stores. Rejects with
 * SettingsError, StoreError, and SNAPSHOT_MISSING where there is no version at all.
 */
export async function openFolders(
  context: CommandContext,
  allVersions: boolean,
  signal: AbortSignal,
): Promise<OpenFolders> {
  const { settings, clock, log } = context;
  const required = requireSettings(
    "this command",
    {
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: settings.storages,
      ...(allVersions ? {} : { KONG_VERSION: settings.kongVersions }),
    },
    "Run it where the exporter's settings are, or give --storage and --kong-version.",
  );
  const locations = required.KONG_CLUSTER_FALLBACK_CONFIG_STORAGE;
  const { seal, opened } = await readTogether(context, signal, {
    seal: ["the seal's keys", () => openConfiguredSeal(settings)],
    opened: ["the store's certificates", () => openConfiguredStores(locations, context)],
  });
  const stores = opened.stores.map(
    (store) => new ReadDeadlineStore(store, { ms: settings.readTimeoutMs, clock }),
  );
  const close = async () => {
    for (const store of stores) await store[Symbol.asyncDispose]();
  };
  try {
    const found = allVersions ? await versionsIn(stores, signal) : [];
    const versions = [...new Set([...settings.kongVersions, ...found])];
    const { maxConfigBytes } = settings;
    const folders = foldersOf(versions, stores, { seal, maxConfigBytes, log });
    return { folders, seal, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The folders of the one version that is configured. Throws SettingsError where several are. */
export function onlyVersion(
  folders: readonly VersionFolder[],
  action: string,
): readonly VersionFolder[] {
  const versions = [...new Set(folders.map(({ version }) => version))];
  if (versions.length <= 1) return folders;
  throw new SettingsError(
    [`KONG_VERSION: snapshots ${action} is for one version, not for ${versions.join(", ")}`],
    `Name one: --kong-version ${versions[0]}`,
  );
}
