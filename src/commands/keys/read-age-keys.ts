/** Settings to age keys: for whom to encrypt, and what to open with. */

import { Secret } from "../../core/secret.ts";
import { SettingsError } from "../../runtime/settings.ts";
import { type KeyText, readAgeText, splitList } from "./key-text.ts";

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
        throw fault(source, "holds what is no recipient of the form age1... (X25519)");
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
      throw fault(source, "is encrypted with a passphrase, and none is taken; decrypt it: age -d");
    }
    for (const line of linesOf(source)) {
      if (isRecipient(line)) {
        throw fault(source, "holds a public key, where the secret one is needed");
      }
      if (!(await isUsable(line, "identity"))) {
        throw fault(source, "holds what is no key of the form AGE-SECRET-KEY-1...");
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

function fault({ name }: KeyText, what: string): SettingsError {
  return new SettingsError([`${name} ${what}`]);
}
