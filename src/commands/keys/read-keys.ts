/** Settings to the keys of a seal, their files read and checked. */

import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import type { Secret } from "../../core/secret.ts";
import { type Settings, SettingsError } from "../../runtime/settings.ts";
import type { SealKeys } from "../../snapshots/seal/seal.ts";
import {
  type SigningKey,
  signingKeyOf,
  type VerifyKey,
  verifyKeyOf,
} from "../../snapshots/seal/signature.ts";
import { type KeyText, readPem, splitList } from "./key-text.ts";
import { readIdentities, readRecipients } from "./read-age-keys.ts";

export type SealSettings = Pick<
  Settings,
  "signingKey" | "verifyKeys" | "ageRecipients" | "ageIdentities"
>;

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
      "`kong-fallback keys generate` makes keys that fit; docs/sealing.md says which goes where.",
    );
  }
  return keys;
}

async function readSigningKey(value: Secret | undefined): Promise<SigningKey | undefined> {
  if (value === undefined) return undefined;
  const pem = await readPem("KONG_FALLBACK_SIGNING_KEY", value.reveal());
  if (!pem.text.includes("PRIVATE KEY-----")) {
    throw fault(pem, "holds no private key, which signing needs");
  }
  if (pem.text.includes("ENCRYPTED")) {
    throw fault(
      pem,
      "is encrypted with a passphrase, and none is taken; decrypt it with openssl pkey",
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
      throw fault(pem, "holds a private key; give its public half, and keep it where it signs");
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
    throw fault(pem, "is damaged: `openssl pkey -noout` must read it, a public key with -pubin");
  }
  if (key.asymmetricKeyType === "ed25519") return key;
  throw fault(pem, `is a key of the kind ${key.asymmetricKeyType}, and must be ed25519`);
}

function fault({ name }: KeyText, what: string): SettingsError {
  return new SettingsError([`${name} ${what}`]);
}
