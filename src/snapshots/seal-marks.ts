/** What the metadata of an object tell about its seal, without any key. */

import type { Metadata } from "../store/port.ts";

export interface SealMarks {
  /** Id of the key that it says it is signed by; whether that holds is checked where keys are configured. */
  readonly signedBy: string | undefined;
  /** Whom it says it is encrypted for, shortened; `""` where it does not say; undefined: it is not encrypted. */
  readonly sealedFor: string | undefined;
}

export function sealMarksOf(metadata: Metadata): SealMarks {
  const [, signedBy] = /^ed25519:([0-9a-f]{16}):/.exec(metadata["signature"] ?? "") ?? [];
  const isSealed = metadata["sealed"] !== undefined;
  return { signedBy, sealedFor: isSealed ? (metadata["sealed-for"] ?? "") : undefined };
}

/** `signed by 0123456789abcdef, sealed`; `""` for neither. */
export function sealText({ signedBy, sealedFor }: SealMarks): string {
  return [
    ...(signedBy === undefined ? [] : [`signed by ${signedBy}`]),
    ...(sealedFor === undefined ? [] : ["sealed"]),
  ].join(", ");
}
