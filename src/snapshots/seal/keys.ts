/** The keys of a seal: whom to sign as, whose signature to trust, for whom to encrypt, and what opens it again. */

import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import type { Secret } from "../../core/secret.ts";

export interface VerifyKey {
  /** The first 16 hex digits of the SHA-256 of the SPKI DER. */
  readonly id: string;
  /** Ed25519, public. */
  readonly key: KeyObject;
}

export interface SigningKey {
  /** That of its public half. */
  readonly id: string;
  /** Ed25519, private. */
  readonly key: KeyObject;
}

export interface SealKeys {
  /** Undefined: nothing is signed. */
  readonly signingKey: SigningKey | undefined;
  /** Trusted besides the public half of `signingKey`. Without either, signatures are not asked for. */
  readonly verifyKeys: readonly VerifyKey[];
  /** `age1...`, known to be valid; none: nothing is encrypted. */
  readonly recipients: readonly string[];
  /** `AGE-SECRET-KEY-1...` each, known to be valid. */
  readonly identities: readonly Secret[];
}

/** `key` is an Ed25519 public one. */
export function verifyKeyOf(key: KeyObject): VerifyKey {
  const spki = key.export({ type: "spki", format: "der" });
  return { id: createHash("sha256").update(spki).digest("hex").slice(0, 16), key };
}

/** `key` is an Ed25519 private one. */
export function signingKeyOf(key: KeyObject): SigningKey {
  return { id: verifyKeyOf(createPublicKey(key)).id, key };
}
