/** What it costs to sign and encrypt a config, and to open it again, beside what Node itself needs for the same bytes. */

import { createCipheriv, createHash, randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { bench, describe } from "vitest";
import { encodeMetadata } from "../../src/snapshots/metadata.ts";
import { snapshotOf } from "../fakes/config.ts";
import { roles } from "../fakes/seals.ts";
import { largeConfig, megabytes } from "./large-config.ts";

const { exporter, reader } = await roles();
const metadata = encodeMetadata(snapshotOf("bench").metadata);
const signed = (await exporter.close(Buffer.alloc(0), metadata)).metadata;
const FEW = { iterations: 5, time: 0, warmupIterations: 1, warmupTime: 0 };

for (const pairs of [10_000, 50_000]) {
  const { config } = largeConfig(pairs);
  const { body } = await exporter.close(config, metadata);
  describe(`sealing ${megabytes(config)}`, () => {
    bench("sign and encrypt", async () => void (await exporter.close(config, metadata)), FEW);
    bench("open", async () => void (await reader.open(body, "it", 2 ** 28)), FEW);
    bench(
      "floor: ChaCha20-Poly1305 of node:crypto",
      () => {
        const cipher = createCipheriv("chacha20-poly1305", randomBytes(32), randomBytes(12), {
          authTagLength: 16,
        });
        Buffer.concat([cipher.update(config), cipher.final()]);
      },
      FEW,
    );
    bench(
      "peer: SHA-256 and gzip, as for the history",
      () => {
        createHash("sha256").update(config).digest();
        gzipSync(config);
      },
      FEW,
    );
  });
}

describe("the signature alone, of whatever length the config is", () => {
  bench("check", () => reader.checkSignature(signed, "it"));
  bench("floor: SHA-256 of the metadata", () => {
    createHash("sha256").update(JSON.stringify(signed)).digest();
  });
});
