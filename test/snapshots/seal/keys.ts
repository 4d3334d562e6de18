/** Keys for tests, new ones at each call. */

import { generateKeyPairSync } from "node:crypto";
import { generateIdentity, identityToRecipient } from "age-encryption";
import { Secret } from "../../../src/core/secret.ts";
import type { SealKeys } from "../../../src/snapshots/seal/seal.ts";
import {
  type SigningKey,
  signingKeyOf,
  type VerifyKey,
  verifyKeyOf,
} from "../../../src/snapshots/seal/signature.ts";

export const NO_KEYS: SealKeys = {
  signingKey: undefined,
  verifyKeys: [],
  recipients: [],
  identities: [],
};

export function signingPair(): { readonly signingKey: SigningKey; readonly verifyKey: VerifyKey } {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return { signingKey: signingKeyOf(privateKey), verifyKey: verifyKeyOf(publicKey) };
}

export async function agePair(): Promise<{
  readonly identity: Secret;
  readonly recipient: string;
}> {
  const identity = await generateIdentity();
  return { identity: new Secret(identity), recipient: await identityToRecipient(identity) };
}
