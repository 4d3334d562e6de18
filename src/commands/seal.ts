/** Settings to the seal of what is saved: shared by the commands that read or write snapshots. */

import { openSeal } from "../snapshots/seal/open.ts";
import type { Seal } from "../snapshots/seal/seal.ts";
import { readSealKeys, type SealSettings } from "./keys/read-keys.ts";

/** Reads the keys' files, once. Rejects with SettingsError, all faults in one. */
export async function openConfiguredSeal(settings: SealSettings): Promise<Seal> {
  return openSeal(await readSealKeys(settings));
}
