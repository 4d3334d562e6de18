/** A config as large as one likes: services and routes like those of the largest frame recorded from a real Kong. */

import { gzipSync } from "node:zlib";
import { computeConfigHash } from "../../src/kong/config-hash.ts";
import { V391 } from "../fakes/config.ts";

export interface LargeConfig {
  readonly config: Buffer;
  readonly payload: Buffer;
  /** The payload as a control plane sends it. */
  readonly frame: Buffer;
}

/** `pairs` services, each with a route: about 840 bytes a pair. */
export function largeConfig(pairs: number): LargeConfig {
  const common = { created_at: 1_795_220_201, updated_at: 1_795_220_201 };
  const services = Array.from({ length: pairs }, (_, index) => ({
    id: uuid(index),
    name: `service-${index}`,
    host: `service-${index}.internal.example.com`,
    port: 8080,
    path: null,
    protocol: "http",
    retries: 5,
    connect_timeout: 60_000,
    read_timeout: 60_000,
    write_timeout: 60_000,
    tags: ["team-a", "größe"],
    client_certificate: null,
    tls_verify: null,
    ca_certificates: null,
    enabled: true,
    ...common,
  }));
  const routes = services.map(({ id }, index) => ({
    id: uuid(index + pairs),
    name: `route-${index}`,
    service: id,
    paths: [`/service-${index}`],
    methods: null,
    hosts: [`service-${index}.example.com`],
    protocols: ["http", "https"],
    strip_path: true,
    preserve_host: false,
    regex_priority: 0,
    https_redirect_status_code: 426,
    path_handling: "v0",
    request_buffering: true,
    response_buffering: true,
    tags: null,
    ...common,
  }));
  const table = { _format_version: "3.0", _transform: false, services, routes };
  const config = Buffer.from(JSON.stringify(table));
  const payload = Buffer.from(
    JSON.stringify({
      type: "reconfigure",
      timestamp: 1_795_220_201.496,
      config_hash: computeConfigHash(config, V391),
      config_table: table,
    }),
  );
  return { config, payload, frame: gzipSync(payload) };
}

export function megabytes(bytes: { readonly length: number }): string {
  return `${(bytes.length / 1e6).toFixed(1)} MB`;
}

function uuid(number: number): string {
  return `00000000-0000-4000-8000-${number.toString(16).padStart(12, "0")}`;
}
