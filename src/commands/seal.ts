/** Settings to the seal of what is saved: shared by the commands that read or write snapshots. */

import { SettingsError } from "../runtime/settings.ts";
import { openSeal, type Seal } from "../snapshots/seal/seal.ts";
import { readSealKeys, type SealSettings } from "./keys/read-keys.ts";

/** Reads the keys' files, once. Rejects with SettingsError, all faults in one. */
export async function openConfiguredSeal(settings: SealSettings): Promise<Seal> {
  return openSeal(await readSealKeys(settings));
}

/** As openConfiguredSeal, for who writes: what nobody would read again, for want of a signature, is not to be written. */
export async function openWritingSeal(settings: SealSettings): Promise<Seal> {
  const seal = await openConfiguredSeal(settings);
  if (settings.verifyKeys === undefined || settings.signingKey !== undefined) return seal;
  throw new SettingsError(
    ["KONG_FALLBACK_SIGNING_KEY: is not set, though KONG_FALLBACK_VERIFY_KEYS asks for signatures"],
    "Whoever writes snapshots needs the signing key; who only reads them must not have it.",
  );
}
