/** A config as a DB-less Kong takes it, in the form whose hash is known before. Kong/kong@3.9.1 kong/api/routes/config.lua */

import { createHash } from "node:crypto";
import type { ConfigBody } from "./admin-client.ts";

/** A config ready to be sent, and the hash Kong will give it; undefined where only Kong can tell. */
export interface ConfigLoad {
  readonly body: ConfigBody;
  /** 32 lower-case hex digits, to be found in `/status` once Kong has the config. */
  readonly expectedHash: string | undefined;
}

/**
 * The config as a string inside JSON, for then Kong's hash of it is the MD5 of the text. A config
 * that is not valid UTF-8 (Kong itself never checks) would be damaged as a string: it becomes the
 * body itself, with a hash that Kong makes of the entities it reads.
 */
export function prepareConfigLoad(config: Uint8Array): ConfigLoad {
  const text = decodeUtf8(config);
  if (text === undefined) {
    return { body: { contentType: "application/json", bytes: config }, expectedHash: undefined };
  }
  return {
    body: { contentType: "application/json", bytes: Buffer.from(JSON.stringify({ config: text })) },
    expectedHash: createHash("md5").update(config).digest("hex"),
  };
}

/** Whether a hash from `/status` is that of a Kong without a config: only zeros. */
export function isEmptyHash(hash: string): boolean {
  return /^0*$/.test(hash);
}

/** Undefined unless encoding the text again gives the same bytes. */
function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // Not UTF-8, or longer than a string can be (512 MiB).
    return undefined;
  }
}
