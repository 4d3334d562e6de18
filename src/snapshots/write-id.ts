/** What makes two writes of one config different objects, so that no version of the current object ever comes back. */

import { randomBytes } from "node:crypto";
import type { Metadata } from "../store/port.ts";

/** Name of the metadata that holds it: 16 lower-case hex digits. */
export const WRITE_ID = "write-id";

/** Of all current objects: as many characters as a write id has bits. */
export const BLANKS_BYTES = 64;

export function newWriteId(): string {
  return randomBytes(BLANKS_BYTES / 8).toString("hex");
}

/**
 * The write id as what JSON allows after the config: its bits, a line feed for 1 and a space for 0.
 * No tab: a YAML parser refuses one at the start of a line.
 */
export function blanksOf(writeId: string): Uint8Array {
  const bits = BigInt(`0x${writeId}`).toString(2).padStart(BLANKS_BYTES, "0");
  return Buffer.from(bits.replaceAll("0", " ").replaceAll("1", "\n"));
}

/** Undefined where there is none, or none of ours. */
export function writeIdOf(metadata: Metadata): string | undefined {
  const id = metadata[WRITE_ID];
  return id !== undefined && /^[0-9a-f]{16}$/.test(id) ? id : undefined;
}
