/** Keys to a seal. */

import { createHash, createPublicKey } from "node:crypto";
import type { Metadata } from "../../store/port.ts";
import { isEncrypted, refuseWithoutIdentity } from "./age-header.ts";
import { type SealKeys, verifyKeyOf } from "./keys.ts";
import type { Seal, SealedObject } from "./seal.ts";
import { checkSignature, sign } from "./signature.ts";

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
