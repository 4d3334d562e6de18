/** Seals with keys made for one test, and the words to look for where nothing may be in the clear. */

import { generateKeyPairSync } from "node:crypto";
import { generateIdentity, identityToRecipient } from "age-encryption";
import { Secret } from "../../src/core/secret.ts";
import { openSeal, type Seal, type SealKeys } from "../../src/snapshots/seal/seal.ts";
import { signingKeyOf, verifyKeyOf } from "../../src/snapshots/seal/signature.ts";

export function signingPair() {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const pem = {
    private: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    public: publicKey.export({ type: "spki", format: "pem" }).toString(),
  };
  return { signing: signingKeyOf(privateKey), verify: verifyKeyOf(publicKey), pem };
}

export async function agePair() {
  const identity = await generateIdentity();
  return { identity: new Secret(identity), recipient: await identityToRecipient(identity) };
}

export function sealWith(keys: Partial<SealKeys>): Seal {
  return openSeal({
    signingKey: undefined,
    verifyKeys: [],
    recipients: [],
    identities: [],
    ...keys,
  });
}

/** As recommended: who writes cannot read, who reads cannot write. */
export async function roles() {
  const { signing, verify, pem } = signingPair();
  const age = await agePair();
  return {
    exporter: sealWith({ signingKey: signing, recipients: [age.recipient] }),
    reader: sealWith({ verifyKeys: [verify], identities: [age.identity] }),
    signing,
    verify,
    pem,
    age,
  };
}
