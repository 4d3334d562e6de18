/** The configs of the demo: one recorded from a real Kong 3.9.1, and the same after somebody changed it. */

import { readFile } from "node:fs/promises";
import { gunzipSync, gzipSync } from "node:zlib";
import { computeConfigHash } from "../../kong/config-hash.ts";
import { parseKongVersion } from "../../kong/version.ts";

/** Everything in it is throwaway test data. */
const RECORDED = new URL("../../../assets/demo.reconfigure.bin", import.meta.url);

export interface DemoConfig {
  /** A binary message as a control plane sends it. */
  readonly frame: Uint8Array;
  readonly configHash: string;
  /** What must end up saved, byte for byte. */
  readonly configTable: Buffer;
  readonly services: number;
  readonly routes: number;
}

interface Payload {
  readonly config_hash: string;
  readonly config_table: {
    readonly services: readonly object[];
    readonly routes: readonly object[];
  };
}

export async function recordedConfig(): Promise<DemoConfig> {
  const frame = await readFile(RECORDED);
  const text = gunzipSync(frame).toString("utf8");
  const payload = JSON.parse(text) as Payload;
  return describe(frame, text, payload);
}

/** One service more. */
export function changedConfig(recorded: DemoConfig, now: Date): DemoConfig {
  const { config_table } = JSON.parse(gunzipSync(recorded.frame).toString("utf8")) as Payload;
  const added = {
    id: "5f0c5f4e-0f0a-4c5e-9d6b-7d8f2a1b3c4d",
    name: "added-later",
    host: "example.com",
    port: 80,
    protocol: "http",
  };
  const changed = { ...config_table, services: [...config_table.services, added] };
  const version = parseKongVersion("3.9.1");
  if (version === undefined) throw new Error("3.9.1 is a version");
  const config_hash = computeConfigHash(Buffer.from(JSON.stringify(changed)), version);
  const payload = {
    type: "reconfigure",
    timestamp: now.getTime() / 1000,
    config_hash,
    config_table: changed,
  };
  const text = JSON.stringify(payload);
  return describe(gzipSync(text), text, payload);
}

/** The bytes are found without the scanner that the exporter uses, so that the demo can tell on it. */
function describe(
  frame: Uint8Array,
  text: string,
  { config_hash, config_table }: Payload,
): DemoConfig {
  const spelled = JSON.stringify(config_table);
  if (!text.includes(`"config_table":${spelled}`))
    throw new Error("the recorded config is not as recorded");
  return {
    frame,
    configHash: config_hash,
    configTable: Buffer.from(spelled),
    services: config_table.services.length,
    routes: config_table.routes.length,
  };
}
