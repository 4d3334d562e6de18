/** Seals with real signatures and a fast encryption in place of age's: who writes cannot read, who reads cannot write. */

import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { SnapshotError } from "../../src/snapshots/errors.ts";
import { isEncrypted } from "../../src/snapshots/seal/age-header.ts";
import type { Seal } from "../../src/snapshots/seal/seal.ts";
import { sealWith, signingPair } from "./seals.ts";

/** As age's, so that bodies are told apart by it. */
const HEADER = Buffer.from("age-encryption.org/v1\n-> X25519 quick\nquick\n--- quick\n");
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** For bodies under 64 kB, with keys of their own. All that they do is done at once. */
export function quickSeals(): { readonly exporter: Seal; readonly reader: Seal } {
  const { signing, verify } = signingPair();
  const key = randomBytes(32);
  const reader = sealWith({ verifyKeys: [verify] });
  return {
    exporter: quickly(sealWith({ signingKey: signing }), key, false),
    reader: quickly(reader, key, true),
  };
}

/** As `seal`, which does not encrypt, but for the holders of this key. */
export function quickly(seal: Seal, key: Uint8Array, canOpen: boolean): Seal {
  return {
    ...seal,
    encrypts: true,
    async close(body, metadata) {
      const signed = await seal.close(body, metadata);
      const marks = { sealed: "age", "sealed-for": "quick" };
      return { body: encrypt(body, key), metadata: { ...signed.metadata, ...marks } };
    },
    async open(body, name) {
      if (!isEncrypted(body)) return body;
      if (!canOpen) throw new SnapshotError("SNAPSHOT_SEALED", `${name} is sealed for others`);
      return decrypt(body, key, name);
    },
    isUpToDate: (metadata) => seal.isUpToDate(metadata) && metadata["sealed"] === "age",
  };
}

function encrypt(body: Uint8Array, key: Uint8Array): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  const parts = [HEADER, nonce, cipher.update(body), cipher.final()];
  return Buffer.concat([...parts, cipher.getAuthTag()]);
}

function decrypt(body: Uint8Array, key: Uint8Array, name: string): Uint8Array {
  const packed = Buffer.from(body).subarray(HEADER.length);
  const decipher = createDecipheriv("aes-256-gcm", key, packed.subarray(0, NONCE_BYTES));
  try {
    decipher.setAuthTag(packed.subarray(-TAG_BYTES));
    const sealed = packed.subarray(NONCE_BYTES, -TAG_BYTES);
    return Buffer.concat([decipher.update(sealed), decipher.final()]);
  } catch (cause) {
    throw new SnapshotError("SNAPSHOT_CORRUPT", `${name} cannot be decrypted`, { cause });
  }
}
