/** New pairs of keys, as the texts of their files. */

import { generateKeyPairSync } from "node:crypto";
import { generateIdentity, identityToRecipient } from "age-encryption";
import { Secret } from "../../core/secret.ts";
import { verifyKeyOf } from "../../snapshots/seal/signature.ts";

export interface KeyPair {
  /** What of it may be shown: the id of a signing key, or an age recipient. */
  readonly shown: string;
  readonly privateText: Secret;
  readonly publicText: string;
}

/** Ed25519: PKCS #8 and SPKI, PEM. */
export function makeSigningPair(): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return {
    shown: verifyKeyOf(publicKey).id,
    privateText: new Secret(privateKey.export({ type: "pkcs8", format: "pem" }).toString()),
    publicText: publicKey.export({ type: "spki", format: "pem" }).toString(),
  };
}

/** X25519, the private half as `age-keygen` writes it, made at `now`. https://github.com/FiloSottile/age/blob/main/doc/age-keygen.1.ronn */
export async function makeAgePair(now: Date): Promise<KeyPair> {
  const identity = await generateIdentity();
  const recipient = await identityToRecipient(identity);
  const created = now.toISOString().replace(/\.\d+Z$/, "Z");
  const lines = [`# created: ${created}`, `# public key: ${recipient}`, identity, ""];
  return {
    shown: recipient,
    privateText: new Secret(lines.join("\n")),
    publicText: `${recipient}\n`,
  };
}
