/** Settings to the seal of what is saved, its keys read from text or files and checked: shared by the commands that read or write snapshots. */

import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { describeCause } from "../core/errors.ts";
import { isEncryptedKey, isPem, locatePem, looksLikePath } from "../core/pem.ts";
import { Secret } from "../core/secret.ts";
import type { SettingName } from "../runtime/settings/table.ts";
import { type Settings, SettingsError } from "../runtime/settings.ts";
import { openSeal, type Seal, type SealKeys } from "../snapshots/seal/seal.ts";
import {
  type SigningKey,
  signingKeyOf,
  type VerifyKey,
  verifyKeyOf,
} from "../snapshots/seal/signature.ts";

export type SealSettings = Pick<
  Settings,
  "signingKey" | "verifyKeys" | "ageRecipients" | "ageIdentities"
>;

/** Reads the keys' files, once. Rejects with SettingsError, all faults in one. */
export async function openConfiguredSeal(settings: SealSettings): Promise<Seal> {
  return openSeal(await readSealKeys(settings));
}

/** As openConfiguredSeal, for who writes: what nobody would read again, for want of a signature, is not to be written. */
export async function openWritingSeal(settings: SealSettings): Promise<Seal> {
  const seal = await openConfiguredSeal(settings);
  if (settings.verifyKeys === undefined || settings.signingKey !== undefined) return seal;
  throw new SettingsError(
    ["KONG_FALLBACK_SIGNING_KEY: is not set, though KONG_FALLBACK_VERIFY_KEYS requires signatures"],
    "Whoever writes snapshots needs the signing key; whoever only reads them must not have it.",
  );
}

/** Rejects with SettingsError, all faults in one. */
export async function readSealKeys(settings: SealSettings): Promise<SealKeys> {
  const faults: string[] = [];
  const noting = async <T>(reading: Promise<T>, none: T): Promise<T> => {
    try {
      return await reading;
    } catch (error) {
      if (!(error instanceof SettingsError)) throw error;
      faults.push(...error.faults);
      return none;
    }
  };
  const keys: SealKeys = {
    signingKey: await noting(readSigningKey(settings.signingKey), undefined),
    verifyKeys: await noting(readVerifyKeys(settings.verifyKeys), []),
    recipients: await noting(readRecipients(settings.ageRecipients), []),
    identities: await noting(readIdentities(settings.ageIdentities), []),
  };
  if (faults.length > 0) {
    throw new SettingsError(
      faults,
      "`kong-fallback keys generate` makes suitable keys; docs/sealing.md says which goes where.",
    );
  }
  return keys;
}

async function readSigningKey(value: Secret | undefined): Promise<SigningKey | undefined> {
  if (value === undefined) return undefined;
  const pem = await readPem("KONG_FALLBACK_SIGNING_KEY", value.reveal());
  if (!pem.text.includes("PRIVATE KEY-----")) {
    throw fault(pem, "holds no private key, which is needed for signing");
  }
  if (isEncryptedKey(pem.text)) {
    throw fault(
      pem,
      "is encrypted with a passphrase, which is not supported; decrypt it with openssl pkey",
    );
  }
  return signingKeyOf(ed25519(pem, createPrivateKey));
}

async function readVerifyKeys(value: Secret | undefined): Promise<readonly VerifyKey[]> {
  const keys: VerifyKey[] = [];
  for (const part of splitList("KONG_FALLBACK_VERIFY_KEYS", value)) {
    const pem = await readPem("KONG_FALLBACK_VERIFY_KEYS", part);
    // Node would take its public half; but it has no business where snapshots are only read.
    if (pem.text.includes("PRIVATE KEY-----")) {
      throw fault(
        pem,
        "holds a private key; give its public half, and keep the private one where snapshots are signed",
      );
    }
    const blocks = pem.text.match(PUBLIC_KEY) ?? [];
    if (blocks.length === 0) throw fault(pem, "holds no public key (-----BEGIN PUBLIC KEY)");
    for (const text of blocks) {
      keys.push(verifyKeyOf(ed25519({ ...pem, text }, createPublicKey)));
    }
  }
  return keys;
}

/** SPKI, one or several in a file. */
const PUBLIC_KEY = /-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----/g;

function ed25519(pem: KeyText, parse: (text: string) => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = parse(pem.text);
  } catch {
    // OpenSSL's own message may quote what it was given.
    throw fault(
      pem,
      "is damaged: `openssl pkey -noout` must be able to read it (with -pubin for a public key)",
    );
  }
  if (key.asymmetricKeyType === "ed25519") return key;
  throw fault(pem, `is a key of type ${key.asymmetricKeyType}, and must be ed25519`);
}

/** Readers refuse a header of more than 64 kB; each recipient takes about 100 bytes of it. */
const MAX_RECIPIENTS = 256;

/** `age1...` each, valid, none twice. Rejects with SettingsError. */
export async function readRecipients(value: Secret | undefined): Promise<readonly string[]> {
  const recipients = new Set<string>();
  for (const part of splitList("KONG_FALLBACK_AGE_RECIPIENTS", value)) {
    const source = await readAgeText(
      "KONG_FALLBACK_AGE_RECIPIENTS",
      part,
      (text) => isRecipient(text) || isIdentity(text),
    );
    for (const line of linesOf(source)) {
      if (isIdentity(line)) {
        throw fault(source, "holds a secret key; give its public half, age1...");
      }
      if (!(await isUsable(line, "recipient"))) {
        throw fault(source, "holds something that is not a recipient of the form age1... (X25519)");
      }
      recipients.add(line);
    }
  }
  if (recipients.size > MAX_RECIPIENTS) {
    throw new SettingsError([
      `KONG_FALLBACK_AGE_RECIPIENTS: holds ${recipients.size} recipients, more than ${MAX_RECIPIENTS}`,
    ]);
  }
  return [...recipients];
}

/** Valid, none twice. Rejects with SettingsError. */
export async function readIdentities(value: Secret | undefined): Promise<readonly Secret[]> {
  const identities = new Set<string>();
  for (const part of splitList("KONG_FALLBACK_AGE_IDENTITIES", value)) {
    // As text it may have the comments of a file, too.
    const isText = (text: string) => /^\s*(AGE-|age1|#)/im.test(text);
    const source = await readAgeText("KONG_FALLBACK_AGE_IDENTITIES", part, isText);
    if (source.text.startsWith("age-encryption.org/")) {
      throw fault(
        source,
        "is encrypted with a passphrase, which is not supported; decrypt it: age -d",
      );
    }
    for (const line of linesOf(source)) {
      if (isRecipient(line)) {
        throw fault(source, "holds a public key where the secret one is needed");
      }
      if (!(await isUsable(line, "identity"))) {
        throw fault(source, "holds something that is not a key of the form AGE-SECRET-KEY-1...");
      }
      identities.add(line);
    }
  }
  return [...identities].map((identity) => new Secret(identity));
}

/** As age reads files of keys. https://github.com/FiloSottile/age/blob/main/doc/age.1.ronn */
function linesOf(source: KeyText): readonly string[] {
  const lines = source.text.split("\n").map((line) => line.trim());
  const keys = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (keys.length === 0) throw fault(source, "holds no key");
  return keys;
}

function isRecipient(text: string): boolean {
  return text.startsWith("age1");
}

function isIdentity(text: string): boolean {
  return /^AGE-/i.test(text);
}

/** Its library, which knows, is loaded only where there is a key. */
async function isUsable(key: string, kind: "recipient" | "identity"): Promise<boolean> {
  const age = await import("age-encryption");
  try {
    if (kind === "recipient") new age.Encrypter().addRecipient(key);
    else new age.Decrypter().addIdentity(key);
    return true;
  } catch {
    // Its message may quote the key.
    return false;
  }
}

interface KeyText {
  readonly text: string;
  /** How to name it in a message: the setting, and the file if it was one. */
  readonly name: string;
}

/** Its parts. Throws SettingsError where it is set and has none: that would quietly turn off what it is for. */
function splitList(setting: SettingName, value: Secret | undefined): readonly string[] {
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
async function readPem(setting: SettingName, value: string): Promise<KeyText> {
  const pem = locatePem(value);
  if (pem.kind === "text") return { text: pem.text, name: `${setting}:` };
  const name = pem.isShown ? `${setting}: ${value}` : `${setting}:`;
  const expected = "neither PEM, nor base64 of PEM, nor the path of a file";
  const text = await readText(name, value, pem.isShown, expected);
  if (isPem(text)) return { text, name };
  throw new SettingsError([`${name} is a file that holds no PEM`]);
}

/** `isText`: whether a value is an age key itself, and no path. Rejects with SettingsError. */
async function readAgeText(
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

function fault({ name }: KeyText, what: string): SettingsError {
  return new SettingsError([`${name} ${what}`]);
}
