/** The rules of keys, prefixes and metadata, checked the same way before any driver sees them. */

import type { Key, Metadata } from "./port.ts";
import { StoreError } from "./port.ts";

/** Longest key in bytes of UTF-8: S3 and GCS take 1024, half of it is left to the configured prefix. */
const MAX_KEY_BYTES = 512;

/** Names and values together. https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html: 2 KB of user metadata. */
const MAX_METADATA_BYTES = 2048;

/** Control characters, and surrogates without a partner: those have no UTF-8 form. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}]/u;

const METADATA_NAME = /^[a-z0-9-]+$/;

/** Printable ASCII, no blank at either end: what survives an HTTP header unchanged. */
const METADATA_VALUE = /^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/;

/** Whether `text` follows the rules of `Key`. */
export function isKey(text: string): text is Key {
  return keyFault(text) === undefined;
}

/** Throws STORE_BAD_KEY unless `key` follows the rules of `Key`. */
export function checkKey(key: Key): void {
  const fault = keyFault(key);
  if (fault !== undefined) throw badKey(`key ${quote(key)} ${fault}`);
}

/** Throws STORE_BAD_KEY unless `prefix` is empty or follows the rules of `Key`; it has no trailing `/`. */
export function checkPrefix(prefix: Key | ""): void {
  if (prefix === "") return;
  const fault = keyFault(prefix);
  if (fault !== undefined) throw badKey(`prefix ${quote(prefix)} ${fault}`);
}

/** Throws STORE_BAD_KEY unless `metadata` follows the rules of `Metadata`. Names the entry, never its value. */
export function checkMetadata(metadata: Metadata): void {
  let bytes = 0;
  for (const [name, value] of Object.entries(metadata)) {
    if (!METADATA_NAME.test(name)) {
      throw badKey(`metadata name ${quote(name)} is not made of a-z, 0-9 and "-"`);
    }
    if (!METADATA_VALUE.test(value)) {
      throw badKey(
        `the value of metadata ${quote(name)} is empty, begins or ends with a blank, or is not printable ASCII`,
      );
    }
    bytes += name.length + value.length;
  }
  if (bytes > MAX_METADATA_BYTES) {
    throw badKey(`metadata is ${bytes} bytes long, more than ${MAX_METADATA_BYTES}`);
  }
}

function keyFault(key: string): string | undefined {
  if (key === "") return "is empty";
  const bytes = Buffer.byteLength(key);
  if (bytes > MAX_KEY_BYTES) return `is ${bytes} bytes long, more than ${MAX_KEY_BYTES}`;
  if (UNPRINTABLE.test(key)) return "has a control character or half of a surrogate pair";
  if (key.startsWith("/")) return 'begins with "/"';
  if (key.endsWith("/")) return 'ends with "/"';
  const segments = key.split("/");
  if (segments.includes("")) return 'has an empty segment ("//")';
  if (segments.includes(".") || segments.includes("..")) return 'has a segment "." or ".."';
  return undefined;
}

function badKey(fault: string): StoreError {
  return new StoreError("STORE_BAD_KEY", `not usable in a store: ${fault}`, {
    hint: "Keys are segments joined by single slashes, e.g. 3.9.1/config.json. If the settings hold no unusual prefix or version, this is a bug in kong-fallback: please report it.",
  });
}

/** Quoted, control characters escaped, and cut to a length a terminal can show. */
function quote(text: string): string {
  const shown = JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
  // JSON leaves DEL and the C1 controls as they are.
  return shown.replace(/\p{Cc}/gu, (control) => `\\u00${control.charCodeAt(0).toString(16)}`);
}
