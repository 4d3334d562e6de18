/** The text of a key, from a setting that is the text itself or the path of a file. */

import { readFile } from "node:fs/promises";
import { describeCause } from "../../core/errors.ts";
import { isPem, locatePem, looksLikePath } from "../../core/pem.ts";
import type { Secret } from "../../core/secret.ts";
import type { SettingName } from "../../runtime/settings/table.ts";
import { SettingsError } from "../../runtime/settings.ts";

export interface KeyText {
  readonly text: string;
  /** How to name it in a message: the setting, and the file if it was one. */
  readonly name: string;
}

/** Its parts. Throws SettingsError where it is set and has none: that would quietly turn off what it is for. */
export function splitList(setting: SettingName, value: Secret | undefined): readonly string[] {
  if (value === undefined) return [];
  const parts = value
    .reveal()
    .split(",")
    .map((part) => part.trim());
  const keys = parts.filter((part) => part !== "");
  if (keys.length === 0) throw new SettingsError([`${setting}: names no key`]);
  return keys;
}

/** Rejects with SettingsError. */
export async function readPem(setting: SettingName, value: string): Promise<KeyText> {
  const place = locatePem(value);
  if (place.kind === "text") return { text: place.text, name: `${setting}:` };
  const name = place.isShown ? `${setting}: ${value}` : `${setting}:`;
  const expected = "neither PEM, nor base64 of PEM, nor the path of a file";
  const text = await readText(name, value, place.isShown, expected);
  if (isPem(text)) return { text, name };
  throw new SettingsError([`${name} is a file without PEM`]);
}

/** `isText`: whether a value is an age key itself, and no path. Rejects with SettingsError. */
export async function readAgeText(
  setting: SettingName,
  value: string,
  isText: (value: string) => boolean,
): Promise<KeyText> {
  if (isText(value)) return { text: value, name: `${setting}:` };
  const isShown = looksLikePath(value);
  const name = isShown ? `${setting}: ${value}` : `${setting}:`;
  const text = await readText(name, value, isShown, "neither an age key nor the path of a file");
  return { text, name };
}

async function readText(
  name: string,
  path: string,
  isShown: boolean,
  expected: string,
): Promise<string> {
  try {
    return await readFile(path, "latin1");
  } catch (error) {
    const why = isShown
      ? `cannot be read: ${describeCause(error)}`
      : `is ${expected}; its value is not shown, since it may be a damaged key`;
    throw new SettingsError([`${name} ${why}`]);
  }
}
