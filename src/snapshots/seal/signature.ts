/** The signature of a snapshot: Ed25519 over its metadata, which name the digest of its config. */

import {
  createHash,
  createPublicKey,
  type KeyObject,
  sign as signBytes,
  verify as verifyBytes,
} from "node:crypto";
import type { Metadata } from "../../store/port.ts";
import { SnapshotError } from "../errors.ts";

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

/** `key` is an Ed25519 public one. */
export function verifyKeyOf(key: KeyObject): VerifyKey {
  const spki = key.export({ type: "spki", format: "der" });
  return { id: createHash("sha256").update(spki).digest("hex").slice(0, 16), key };
}

/** `key` is an Ed25519 private one. */
export function signingKeyOf(key: KeyObject): SigningKey {
  return { id: verifyKeyOf(createPublicKey(key)).id, key };
}

/**
 * The names that are signed, in the order in which they are. What is not among them (`write-id`,
 * `sealed`, what a store or a copy tool adds) may change without harm. The list never loses a name
 * or its order: that would break every signature there is; it may grow at its end.
 */
export const SIGNED_NAMES = [
  "format",
  "kong-version",
  "config-hash",
  "hashes",
  "hash-match",
  "sha256",
  "bytes",
  "control-plane-timestamp",
  "exported-at",
  "exporter-id",
  "fencing-token",
  "rehearsed",
  "entities",
  "held",
  "cluster-id",
] as const;

/** Value of the metadata `signature`: `ed25519:<key id>:<base64>`. */
export function sign(metadata: Metadata, { id, key }: SigningKey): string {
  const text = signedText(metadata);
  if (text === undefined) throw new TypeError("metadata to be signed are not printable ASCII");
  return `ed25519:${id}:${signBytes(null, text, key).toString("base64")}`;
}

/**
 * Throws SNAPSHOT_UNSIGNED unless one of `keys` signed these metadata, as they are. `name` is the
 * object with its store, for messages.
 */
export function checkSignature(metadata: Metadata, keys: readonly VerifyKey[], name: string): void {
  const { signature } = metadata;
  if (signature === undefined) {
    throw unsigned(
      `${name} is not signed`,
      "It was saved without KONG_FALLBACK_SIGNING_KEY, or changed or copied by hand. Let an exporter that has the key save it again; to read it as it is, unset KONG_FALLBACK_VERIFY_KEYS and KONG_FALLBACK_SIGNING_KEY.",
    );
  }
  const [, id = "", base64 = ""] = SIGNATURE.exec(signature) ?? [];
  if (id === "") {
    throw unsigned(
      `the signature of ${name} cannot be read`,
      "Upgrade kong-fallback if a newer one wrote it. Otherwise it was damaged or forged: take a snapshot of the history.",
    );
  }
  const candidates = keys.filter((key) => key.id === id);
  if (candidates.length === 0) {
    const trusted = keys.map((key) => key.id).join(", ");
    throw unsigned(
      `${name} is signed with the key ${id}, which is not one of those trusted here: ${trusted}`,
      "If that is the key of an exporter of yours, add its public half to KONG_FALLBACK_VERIFY_KEYS; if not, somebody else wrote the snapshot.",
    );
  }
  const bytes = Buffer.from(base64, "base64");
  const text = signedText(metadata);
  const isSigned =
    text !== undefined && candidates.some(({ key }) => verifyBytes(null, text, key, bytes));
  if (!isSigned) {
    throw unsigned(
      `${name} is not what was signed with the key ${id}: its metadata were changed afterwards`,
      "Do not use it. Find out who can write there, and take a snapshot of the history that KONG_FALLBACK_VERIFY_KEYS accepts.",
    );
  }
}

/** 64 bytes. RFC 8032 5.1.6 */
const SIGNATURE = /^ed25519:([0-9a-f]{16}):([A-Za-z0-9+/]{86}==)$/;

/**
 * A line for each name that is there. Undefined where a value is not printable ASCII, which no store
 * takes: a line break in it could pass for another line.
 */
function signedText(metadata: Metadata): Buffer | undefined {
  const pairs = SIGNED_NAMES.flatMap((name) => {
    const value = metadata[name];
    return value === undefined ? [] : [{ name, value }];
  });
  if (!pairs.every(({ value }) => /^[\x20-\x7e]*$/.test(value))) return undefined;
  const lines = pairs.map(({ name, value }) => `${name}: ${value}\n`);
  return Buffer.from(["kong-fallback snapshot signature 1\n", ...lines].join(""));
}

function unsigned(message: string, hint: string): SnapshotError {
  return new SnapshotError("SNAPSHOT_UNSIGNED", message, { hint });
}
