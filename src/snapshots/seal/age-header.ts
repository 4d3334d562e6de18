/** What the head of an encrypted body tells without a key: that it is one, and for how many. https://age-encryption.org/v1 */

import { SnapshotError } from "../errors.ts";

const BINARY = Buffer.from("age-encryption.org/v1\n");
const ARMOR_BEGIN = "-----BEGIN AGE ENCRYPTED FILE-----";
const ARMOR_END = "-----END AGE ENCRYPTED FILE-----";
/** Node makes no string of more than 512 MB. */
const MAX_ARMOR_BYTES = 268_435_456;

/**
 * A longer header is refused: trying the keys on its stanzas could take hours. A stanza has about
 * 100 bytes.
 */
const MAX_HEADER_BYTES = 65_536;

/** By its first bytes, not by its metadata: an object copied by hand has none. No config and no gzip begins like that. */
export function isEncrypted(body: Uint8Array): boolean {
  return startsWith(body, BINARY) || isArmored(body);
}

/** The binary form of what `isEncrypted`; undefined where the armour (`age -a`) is damaged, or too long for one that was made by hand. */
export function withoutArmor(body: Uint8Array): Uint8Array | undefined {
  if (!isArmored(body)) return body;
  if (body.length > MAX_ARMOR_BYTES) return undefined;
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("latin1");
  const end = text.indexOf(`\n${ARMOR_END}`);
  const base64 = text.slice(ARMOR_BEGIN.length, end);
  const after = text.slice(end + 1 + ARMOR_END.length);
  const isWhole = end !== -1 && after.trim() === "" && !/[^A-Za-z0-9+/=\r\n]/.test(base64);
  return isWhole ? Buffer.from(base64, "base64") : undefined;
}

/**
 * Of each stanza its kind: `X25519`, `scrypt` for a passphrase, ... Undefined where there is no header,
 * or one beyond all measure. `binary` is the binary form.
 */
export function stanzaKinds(binary: Uint8Array): readonly string[] | undefined {
  if (!startsWith(binary, BINARY)) return undefined;
  const head = Buffer.from(binary.subarray(0, MAX_HEADER_BYTES)).toString("latin1");
  const end = head.indexOf("\n--- ");
  if (end === -1) return undefined;
  return [...head.slice(0, end).matchAll(/^-> (\S+)/gm)].map(([, kind = ""]) => kind);
}

/** Throws SNAPSHOT_SEALED: there is nothing to try. */
export function refuseWithoutIdentity(body: Uint8Array, name: string): never {
  const binary = withoutArmor(body);
  const kinds = binary === undefined ? undefined : stanzaKinds(binary);
  throw sealed(
    `${name} is encrypted ${forWhom(kinds ?? [])}, and KONG_FALLBACK_AGE_IDENTITIES is not set`,
  );
}

/** SNAPSHOT_SEALED: `message` says for whom it is and why it cannot be opened. */
export function sealed(
  message: string,
  hint = "Set KONG_FALLBACK_AGE_IDENTITIES to a key it was encrypted for; sealedFor in kong-fallback status --json shows how their public halves begin.",
): SnapshotError {
  return new SnapshotError("SNAPSHOT_SEALED", message, { hint });
}

/** A header does not say who its recipients are, only how many. */
export function forWhom(kinds: readonly string[]): string {
  return kinds.length === 1 ? "for one recipient" : `for ${kinds.length} recipients`;
}

function isArmored(body: Uint8Array): boolean {
  return startsWith(body, Buffer.from(ARMOR_BEGIN));
}

function startsWith(body: Uint8Array, prefix: Buffer): boolean {
  return prefix.equals(body.subarray(0, prefix.length));
}
