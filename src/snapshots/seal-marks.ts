/** What the metadata of an object tell about its seal. */

import type { Metadata } from "../store/port.ts";

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
