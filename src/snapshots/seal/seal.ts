/** What makes a saved config unreadable and unforgeable for whoever else holds the bucket, and opens it again. */

import { createHash, createPublicKey } from "node:crypto";
import type { Secret } from "../../core/secret.ts";
import type { Metadata } from "../../store/port.ts";
import { isEncrypted, refuseWithoutIdentity } from "./age-header.ts";
import { checkSignature, type SigningKey, sign, type VerifyKey, verifyKeyOf } from "./signature.ts";

/** Whom to sign as, whose signature to trust, for whom to encrypt, and what opens it again. */
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

/** An object as it is to be put into the store. */
export interface SealedObject {
  readonly body: Uint8Array;
  readonly metadata: Metadata;
}

export interface Seal {
  /** Whether what it closes can be read by the recipients only: then no two bodies are the same. */
  readonly encrypts: boolean;
  /** Ids of the keys whose signatures are taken; none: no signature is asked for. */
  readonly trusted: readonly string[];
  /** Signs the metadata and encrypts the body, each where there are keys for it. */
  close(body: Uint8Array, metadata: Metadata): Promise<SealedObject>;
  /**
   * Throws SNAPSHOT_UNSIGNED where trusted keys are configured and none of them signed these metadata.
   * They name the digest of the config, so that they stand for its bytes, too. `name` is the object
   * with its store, for messages.
   */
  checkSignature(metadata: Metadata, name: string): void;
  /**
   * What was closed, or the body itself where it is not encrypted. SNAPSHOT_SEALED: none of our keys
   * opens it; SNAPSHOT_CORRUPT: damaged, or longer than `maxBytes` in the clear.
   */
  open(body: Uint8Array, name: string, maxBytes: number): Promise<Uint8Array>;
  /**
   * Whether `close` would sign an object with these metadata by the same key, and encrypt it for the
   * same recipients; true where it does neither. Checks nothing.
   */
  isUpToDate(metadata: Metadata): boolean;
  /**
   * For what this process keeps for itself: encrypts for the holders of its own identities, or, without
   * any, for the recipients; signs nothing and asks for no signature.
   */
  forOwnUse(): Promise<Seal>;
}

/** A seal with these keys; each that is missing leaves out what it is for. */
export function openSeal(keys: SealKeys): Seal {
  const { signingKey, recipients, identities } = keys;
  const own = signingKey === undefined ? [] : [verifyKeyOf(createPublicKey(signingKey.key))];
  const trusted = [...keys.verifyKeys, ...own];
  return {
    encrypts: recipients.length > 0,
    trusted: trusted.map(({ id }) => id),
    async close(body, metadata): Promise<SealedObject> {
      const signed: Metadata =
        signingKey === undefined
          ? metadata
          : { ...metadata, signature: sign(metadata, signingKey) };
      if (recipients.length === 0) return { body, metadata: signed };
      const { encrypt } = await import("./encryption.ts");
      return {
        body: await encrypt(body, recipients),
        metadata: { ...signed, sealed: "age", "sealed-for": shortened(recipients) },
      };
    },
    checkSignature(metadata, name) {
      if (trusted.length > 0) checkSignature(metadata, trusted, name);
    },
    async open(body, name, maxBytes) {
      if (!isEncrypted(body)) return body;
      if (identities.length === 0) return refuseWithoutIdentity(body, name);
      const { decrypt } = await import("./encryption.ts");
      return decrypt(body, identities, name, maxBytes);
    },
    isUpToDate(metadata) {
      const isSigned =
        signingKey === undefined ||
        metadata["signature"]?.startsWith(`ed25519:${signingKey.id}:`) === true;
      const isSealed =
        recipients.length === 0 ||
        (metadata["sealed"] === "age" && metadata["sealed-for"] === shortened(recipients));
      return isSigned && isSealed;
    },
    async forOwnUse() {
      const unsigned = { signingKey: undefined, verifyKeys: [], identities };
      if (identities.length === 0) return openSeal({ ...unsigned, recipients });
      const { recipientsOf } = await import("./encryption.ts");
      return openSeal({ ...unsigned, recipients: await recipientsOf(identities) });
    },
  };
}

/** Without any key: signs nothing, encrypts nothing, asks for no signature, and refuses what is encrypted. */
export const PLAIN_SEAL: Seal = openSeal({
  signingKey: undefined,
  verifyKeys: [],
  recipients: [],
  identities: [],
});

/** All metadata of an object have 2 kB. https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html */
const MAX_NAMED = 8;

/** Enough of each to tell them apart, comma-separated; of those beyond MAX_NAMED the number and a digest. */
function shortened(recipients: readonly string[]): string {
  const named = recipients.slice(0, MAX_NAMED).map((recipient) => recipient.slice(0, 12));
  const others = recipients.slice(MAX_NAMED);
  if (others.length === 0) return named.join(",");
  const digest = createHash("sha256").update(others.join(",")).digest("hex").slice(0, 8);
  return [...named, `+${others.length}-${digest}`].join(",");
}

/** What the metadata of an object tell about its seal. */
export interface SealMarks {
  /** Id of the key that it says it is signed by. */
  readonly signedBy: string | undefined;
  /** Whether that is known to be true. */
  readonly isVerified: boolean;
  /** Whom it says it is encrypted for, shortened; `""` where it does not say; undefined: it is not encrypted. */
  readonly sealedFor: string | undefined;
}

/** `isVerified`: whether its signature was checked, and holds. */
export function sealMarksOf(metadata: Metadata, isVerified: boolean): SealMarks {
  const [, signedBy] = /^ed25519:([0-9a-f]{16}):/.exec(metadata["signature"] ?? "") ?? [];
  const isSealed = metadata["sealed"] !== undefined;
  return { signedBy, isVerified, sealedFor: isSealed ? (metadata["sealed-for"] ?? "") : undefined };
}

/** `signed by 0123456789abcdef, sealed`; `""` for neither. */
export function sealText({ signedBy, isVerified, sealedFor }: SealMarks): string {
  return [
    ...(signedBy === undefined
      ? []
      : [`signed by ${signedBy}${isVerified ? "" : " (not verified)"}`]),
    ...(sealedFor === undefined ? [] : ["sealed"]),
  ].join(", ");
}

/** Longest body that `close` makes of one of this length. */
export function maxSealedBytes(bytes: number): number {
  return bytes + Math.ceil(bytes / CHUNK_BYTES + 1) * CHUNK_TAG_BYTES + MAX_HEADER_BYTES;
}

/** age encrypts in chunks of this size, each with a tag. https://age-encryption.org/v1 */
const CHUNK_BYTES = 65_536;
const CHUNK_TAG_BYTES = 16;
/** One stanza for each recipient; those of a post-quantum key have about 1.6 kB. */
const MAX_HEADER_BYTES = 65_536;
