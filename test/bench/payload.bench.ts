/** What it costs to take in a config of 10,000 services and routes: each step beside a floor or a peer in the same run. */

import { createHash } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import { bench, describe } from "vitest";
import { computeConfigHash } from "../../src/kong/config-hash.ts";
import { jsonMembers } from "../../src/kong/json-members.ts";
import { decodeReconfigure } from "../../src/kong/reconfigure.ts";
import { kongVersion } from "../fakes/config.ts";

/** As the largest frame recorded from a real Kong: some 9 MB of JSON. */
const ENTITIES = 10_000;

const services = Array.from({ length: ENTITIES }, (_, index) => ({
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
  created_at: 1_795_220_201,
  updated_at: 1_795_220_201,
}));
const routes = services.map(({ id }, index) => ({
  id: uuid(index + ENTITIES),
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
  created_at: 1_795_220_201,
  updated_at: 1_795_220_201,
}));
const configTable = { _format_version: "3.0", _transform: false, services, routes };
const payload = Buffer.from(
  JSON.stringify({ type: "reconfigure", timestamp: 1_795_220_201.496, config_table: configTable }),
);
const frame = gzipSync(payload);
const config = Buffer.from(JSON.stringify(configTable));
const version = kongVersion("3.9.1");
const megabytes = (payload.length / 1e6).toFixed(1);

describe(`cutting config_table out of ${megabytes} MB`, () => {
  bench("jsonMembers: the exact bytes, the whole text checked", () => {
    jsonMembers(payload);
  });
  bench("peer: JSON.parse and JSON.stringify, which change bytes", () => {
    const { config_table } = JSON.parse(payload.toString("utf8"));
    Buffer.from(JSON.stringify(config_table));
  });
  bench("floor: reading every byte once", () => {
    let sum = 0;
    for (let index = 0; index < payload.length; index += 1) sum += payload[index] ?? 0;
    if (sum === 0) throw new Error("unreachable");
  });
});

describe(`taking in a frame of ${(frame.length / 1e6).toFixed(1)} MB, ${megabytes} MB unpacked`, () => {
  bench("decodeReconfigure", async () => {
    await decodeReconfigure(frame, { maxConfigBytes: 2 ** 28 });
  });
  bench("floor: gunzip alone", () => {
    gunzipSync(frame);
  });
});

describe(`hashing a config of ${megabytes} MB`, () => {
  bench("computeConfigHash: Kong's own hash, the parsing included", () => {
    computeConfigHash(config, version);
  });
  bench("floor: JSON.parse alone", () => {
    JSON.parse(config.toString("utf8"));
  });
  bench("floor: SHA-256 of the bytes", () => {
    createHash("sha256").update(config).digest();
  });
});

function uuid(number: number): string {
  return `00000000-0000-4000-8000-${number.toString(16).padStart(12, "0")}`;
}
