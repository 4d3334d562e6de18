/** What `serve` keeps in KONG_FALLBACK_STATE_DIR: its id, and snapshots for a restart without control plane and store. */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describeCause } from "../../core/errors.ts";
import { loadNodeId } from "../../runtime/node-id.ts";
import { SettingsError } from "../../runtime/settings.ts";
import type { Store } from "../../store/port.ts";
import { parseStorageUrl } from "../../store/storage-url.ts";
import type { CommandContext } from "../context.ts";
import { openConfiguredStore } from "../store.ts";

export interface StateDir extends AsyncDisposable {
  readonly nodeId: string;
  /** Undefined: nothing is kept. */
  readonly snapshots: Store | undefined;
}

/** `purpose`: see `loadNodeId`. Rejects with SettingsError. */
export async function openStateDir(context: CommandContext, purpose: string): Promise<StateDir> {
  const { settings, hostname } = context;
  const { stateDir } = settings;
  const nodeId = await loadNodeId(stateDir, hostname, purpose).catch((error: unknown) => {
    throw new SettingsError(
      [`KONG_FALLBACK_STATE_DIR: ${stateDir} cannot be used: ${describeCause(error)}`],
      "It must be a directory that this user may read and write.",
    );
  });
  const snapshots = stateDir === undefined ? undefined : await openStore(stateDir, context);
  return {
    nodeId,
    snapshots,
    [Symbol.asyncDispose]: async () => snapshots?.[Symbol.asyncDispose](),
  };
}

function openStore(stateDir: string, context: CommandContext): Promise<Store> {
  const { href } = pathToFileURL(join(stateDir, "snapshots"));
  return openConfiguredStore(parseStorageUrl(href), context);
}
