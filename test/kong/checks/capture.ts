/** Configs as real control planes sent them. */

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

/** Exact bytes of the `config_table` of a recorded frame: `3.9.1/rich`. */
export function capturedConfig(name: string): Buffer {
  const file = new URL(`../../fixtures/captures/${name}.reconfigure.bin`, import.meta.url);
  const frame: { readonly config_table: object } = JSON.parse(
    gunzipSync(readFileSync(file)).toString("utf8"),
  );
  return Buffer.from(JSON.stringify(frame.config_table));
}

/** The same with this done to it. */
export function changedConfig(
  name: string,
  change: (table: Record<string, Record<string, unknown>[]>) => void,
): Buffer {
  const table = JSON.parse(capturedConfig(name).toString("utf8"));
  change(table);
  return Buffer.from(JSON.stringify(table));
}
