import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, it } from "vitest";
import { EMPTY_CONFIG_HASH } from "../../src/kong/config-hash.ts";
import { decodeReconfigure, encodeReconfigure } from "../../src/kong/reconfigure.ts";
import { updateOf } from "../fakes/config.ts";

const LIMITS = { maxConfigBytes: 10_000_000 };
const CAPTURES = ["3.9.1/empty", "3.9.1/small", "3.9.1/rich", "3.4.2/rich"];
const PARTS = ["config", "routes", "services", "plugins", "upstreams", "targets"];

function allHashes(hash: string): Record<string, string> {
  return Object.fromEntries(PARTS.map((part) => [part, hash]));
}

async function payloadOf(update: Parameters<typeof encodeReconfigure>[0]): Promise<object> {
  return JSON.parse(gunzipSync(await encodeReconfigure(update)).toString());
}

describe("writing a reconfigure frame", () => {
  for (const name of CAPTURES) {
    it(`gives back what was read from ${name}, recorded from a real Kong: bytes, hashes and timestamp`, async () => {
      const recorded = readFileSync(
        new URL(`../fixtures/captures/${name}.reconfigure.bin`, import.meta.url),
      );
      const update = await decodeReconfigure(recorded, LIMITS);
      assert.equal(Object.keys(update.hashes).length, PARTS.length);
      assert.ok(update.timestamp);
      const frame = await encodeReconfigure(update);
      assert.deepEqual([...frame.subarray(0, 2)], [0x1f, 0x8b]);
      assert.deepEqual(await decodeReconfigure(frame, LIMITS), update);
      const { type } = await payloadOf(update).then((payload) => ({ type: "", ...payload }));
      assert.equal(type, "reconfigure");
    });
  }

  it("keeps a config of many pieces byte for byte, also what is no UTF-8", async () => {
    const noise = randomBytes(2_500_000).toString("base64");
    const configTable = Buffer.concat([
      Buffer.from('{ "_format_version": "3.0", "n": 1.50e+2, "latin": "'),
      Buffer.from([0xe9, 0xff]),
      Buffer.from(`", "noise": "${noise}" }`),
    ]);
    const frame = await encodeReconfigure({ ...updateOf("a"), configTable });
    const read = await decodeReconfigure(frame, LIMITS);
    assert.ok(configTable.equals(read.configTable));
  });

  it("leaves out what is not known", async () => {
    const bare = { configHash: undefined, hashes: {}, timestamp: undefined };
    assert.deepEqual(Object.keys(await payloadOf({ ...updateOf("a"), ...bare })), [
      "type",
      "config_table",
    ]);
  });

  it("never sends the hash of an empty data plane", async () => {
    const payload = await payloadOf({ ...updateOf("a"), configHash: EMPTY_CONFIG_HASH });
    assert.ok(!("config_hash" in payload));
  });

  it("sends the hashes of all parts or of none", async () => {
    const hashes = allHashes("1".repeat(32));
    const { targets: _, ...incomplete } = hashes;
    assert.ok(!("hashes" in (await payloadOf({ ...updateOf("a"), hashes: incomplete }))));
    const complete = await payloadOf({ ...updateOf("a"), hashes });
    assert.ok("hashes" in complete);
    assert.deepEqual(complete.hashes, hashes);
  });
});
