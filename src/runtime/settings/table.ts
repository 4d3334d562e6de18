/** Every setting by name: its default and meaning. README's table is checked against this one. */

import { KNOWN_SETTINGS } from "./table-known.ts";
import { OWN_SETTINGS } from "./table-own.ts";
import { REHEARSAL_SETTINGS } from "./table-rehearsal.ts";

export interface SettingDescription {
  /** As it would be written in the environment; undefined: none. */
  readonly default?: string;
  /** A value that would be accepted. */
  readonly example: string;
  readonly meaning: string;
  /** It holds a secret, or may: never shown, and test/leaks plants a canary in it. */
  readonly secret?: true;
}

export const SETTINGS = {
  ...KNOWN_SETTINGS,
  ...OWN_SETTINGS,
  ...REHEARSAL_SETTINGS,
} as const satisfies Record<string, SettingDescription>;

export type SettingName = keyof typeof SETTINGS;
