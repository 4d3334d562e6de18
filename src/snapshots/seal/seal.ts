/** What makes a saved config unreadable and unforgeable for whoever else holds the bucket, and opens it again. */

import type { Metadata } from "../../store/port.ts";

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

/** Longest body that `close` makes of one of this length. */
export function maxSealedBytes(bytes: number): number {
  return bytes + Math.ceil(bytes / CHUNK_BYTES + 1) * CHUNK_TAG_BYTES + MAX_HEADER_BYTES;
}

/** age encrypts in chunks of this size, each with a tag. https://age-encryption.org/v1 */
const CHUNK_BYTES = 65_536;
const CHUNK_TAG_BYTES = 16;
/** One stanza for each recipient; those of a post-quantum key have about 1.6 kB. */
const MAX_HEADER_BYTES = 65_536;
