/** The configs that the benches of `serve` are run with. */

import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { computeConfigHash } from "../../src/kong/config-hash.ts";
import { captured } from "../e2e/stage.ts";
import { configBytes, V391 } from "../fakes/config.ts";

export interface BenchConfig {
  readonly name: string;
  readonly config: Buffer;
  readonly configHash: string;
}

/** Services with tags of random text, which compresses to three quarters: 10 MB then. */
export function denseConfig(): BenchConfig {
  const services = Array.from({ length: 10_000 }, (_, index) => ({
    name: `service-${index}`,
    host: "service.internal.example.com",
    tags: [randomBytes(960).toString("base64")],
  }));
  const table = { _format_version: "3.0", _transform: false, services };
  return named(Buffer.from(JSON.stringify(table)));
}

export function smallConfig(): BenchConfig {
  return named(configBytes("small"));
}

/** As recorded from a real Kong 3.9.1. */
export function richConfig(): BenchConfig {
  return named(captured("3.9.1", "rich").configTable);
}

function named(config: Buffer): BenchConfig {
  const name = `config of ${size(config.length)}, ${size(gzipSync(config).length)} compressed`;
  return { name, config, configHash: computeConfigHash(config, V391) };
}

export function size(bytes: number): string {
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
