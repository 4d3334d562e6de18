/** What it costs to take in a config of 10,000 services and routes: each step beside a floor or a peer in the same run. */

import { createHash } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { bench, describe } from "vitest";
import { computeConfigHash } from "../../src/kong/config-hash.ts";
import { jsonMembers } from "../../src/kong/json-members.ts";
import { decodeReconfigure } from "../../src/kong/reconfigure.ts";
import { V391 } from "../fakes/config.ts";
import { largeConfig, megabytes } from "./large-config.ts";

const { config, payload, frame } = largeConfig(10_000);

describe(`cutting config_table out of ${megabytes(payload)}`, () => {
  bench("jsonMembers: the exact bytes, the whole text checked", () => {
    jsonMembers(payload);
  });
  bench("peer: JSON.parse and JSON.stringify, which may change bytes", () => {
    const { config_table } = JSON.parse(payload.toString("utf8"));
    Buffer.from(JSON.stringify(config_table));
  });
  bench("floor: looking at every byte once", () => {
    let sum = 0;
    for (let index = 0; index < payload.length; index += 1) sum += payload[index] ?? 0;
    if (sum === 0) throw new Error("the payload is not all zeros");
  });
});

describe(`taking in a frame of ${megabytes(frame)}, ${megabytes(payload)} unpacked`, () => {
  bench("decodeReconfigure", async () => {
    await decodeReconfigure(frame, { maxConfigBytes: 2 ** 28 });
  });
  bench("floor: gunzip alone", () => {
    gunzipSync(frame);
  });
});

describe(`hashing a config of ${megabytes(config)}`, () => {
  bench("computeConfigHash: Kong's own hash, the parsing included", () => {
    computeConfigHash(config, V391);
  });
  bench("floor: JSON.parse alone", () => {
    JSON.parse(config.toString("utf8"));
  });
  bench("floor: SHA-256 of the bytes", () => {
    createHash("sha256").update(config).digest();
  });
});
