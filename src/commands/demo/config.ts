/** The configs of the demo: one recorded from a real Kong 3.9.1, and the same after somebody changed it. */

import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { gunzipSync, gzipSync } from "node:zlib";
import { computeConfigHash } from "../../kong/config-hash.ts";
import { type KongVersion, parseKongVersion } from "../../kong/version.ts";

/** Everything in it is throwaway test data. */
const RECORDED = new URL("../../../assets/demo.reconfigure.bin", import.meta.url);

export interface DemoConfig {
  /** A binary message as a control plane sends it. */
  readonly frame: Uint8Array;
  /** Of the Kong it was recorded from. */
  readonly version: KongVersion;
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
export function changedConfig(config: DemoConfig, name: string, now: Date): DemoConfig {
  const { config_table } = JSON.parse(gunzipSync(config.frame).toString("utf8")) as Payload;
  const added = {
    id: randomUUID(),
    name,
    host: "example.com",
    port: 80,
    protocol: "http",
  };
  const changed = { ...config_table, services: [...config_table.services, added] };
  const config_hash = computeConfigHash(Buffer.from(JSON.stringify(changed)), config.version);
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
  const version = parseKongVersion("3.9.1");
  if (version === undefined) throw new Error("3.9.1 is a version");
  return {
    frame,
    version,
    configHash: config_hash,
    configTable: Buffer.from(spelled),
    services: config_table.services.length,
    routes: config_table.routes.length,
  };
}

/** What a step says of a config. */
export function describeConfig({ services, routes, configHash }: DemoConfig): string {
  return `${services} services, ${routes} routes, Kong's hash ${configHash}`;
}
