import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { gzipSync } from "node:zlib";
import { describe, it } from "vitest";
import { History } from "../../src/snapshots/history.ts";
import { maxPackedBytes, packConfig } from "../../src/snapshots/history-body.ts";
import { maxKeptBytes } from "../../src/snapshots/sighting.ts";
import { kongVersion, snapshotOf } from "../fakes/config.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import {
  type Change,
  CONDITIONAL,
  historyKey,
  optionsOn,
  signal,
  spoil as spoilIn,
} from "./stage.ts";

const MAX_CONFIG_BYTES = 10_000;

async function setUp() {
  const store = new MemoryStore();
  const history = new History({ ...optionsOn(store), maxConfigBytes: MAX_CONFIG_BYTES });
  const id = await history.add(snapshotOf("a"), CONDITIONAL, signal);
  const key = historyKey(id);
  const spoil = (change: Change) => spoilIn(store, change, key);
  return { store, history, id, key, spoil };
}

describe("a history entry that cannot be trusted is refused", () => {
  const good = gzipSync(snapshotOf("a").config);
  const cases: readonly [string, Uint8Array, RegExp][] = [
    ["empty", Buffer.alloc(0), /is not gzip, or is truncated or damaged/],
    ["no gzip", snapshotOf("a").config, /is not gzip, or is truncated or damaged/],
    ["cut off", good.subarray(0, -1), /is not gzip, or is truncated or damaged/],
    [
      "followed by zeros",
      Buffer.concat([good, Buffer.alloc(3)]),
      /has data after the end of its gzip stream/,
    ],
    ["followed by another member", Buffer.concat([good, good]), /bytes where \d+ were saved/],
    // Its end is missing: it must not be reached.
    ["a bomb", gzipSync(Buffer.alloc(5_000_000)).subarray(0, -1), /to more than 10000 bytes/],
    ["another config", gzipSync(snapshotOf("b").config), /does not have the SHA-256/],
  ];
  for (const [what, body, message] of cases) {
    it(`if it is ${what}`, async () => {
      const { history, id, spoil } = await setUp();
      spoil({ body });
      await assert.rejects(history.read(id, signal), { code: "SNAPSHOT_CORRUPT", message });
    });
  }

  it("if any single bit of it has flipped that matters", async () => {
    const { history, id, spoil } = await setUp();
    // What follows the header: its time and operating system are of no consequence.
    for (let bit = 10 * 8; bit < good.length * 8; bit += 7) {
      const body = Buffer.from(good);
      body[bit >> 3] = (body[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      spoil({ body });
      await assert.rejects(history.read(id, signal), { code: "SNAPSHOT_CORRUPT" });
    }
  });

  it("if its metadata are lost, or are those of another", async () => {
    const { store, history, id, key, spoil } = await setUp();
    const metadata = store.objects.get(key)?.metadata ?? {};
    spoil({ metadata: {} });
    await assert.rejects(history.read(id, signal), { message: /has lost its metadata/ });
    spoil({ metadata: { ...metadata, held: "why" } });
    await assert.rejects(history.read(id, signal), {
      message: /is not the one that its name says/,
    });
    spoil({ metadata: { ...metadata, "config-hash": "f".repeat(32) } });
    await assert.rejects(history.read(id, signal), {
      message: /is not the one that its name says/,
    });
    spoil({ metadata: { ...metadata, "kong-version": kongVersion("3.8.0") } });
    await assert.rejects(history.read(id, signal), { code: "SNAPSHOT_WRONG_VERSION" });
    spoil({ metadata: { ...metadata, format: "kong-fallback/2" } });
    await assert.rejects(history.read(id, signal), { code: "SNAPSHOT_UNKNOWN_FORMAT" });
    spoil({ metadata });
    assert.deepEqual((await history.read(id, signal)).metadata, snapshotOf("a").metadata);
  });

  it("before it is read whole, if it is longer than any entry can be", async () => {
    const { store, history, id, spoil } = await setUp();
    spoil({ body: Buffer.alloc(maxKeptBytes(MAX_CONFIG_BYTES) + 1) });
    const before = store.bytesRead;
    await assert.rejects(history.read(id, signal), { code: "STORE_TOO_LARGE" });
    assert.equal(store.bytesRead, before);
  });
});

describe("a compressed config", () => {
  it("is never longer than is read of it, even of bytes that nothing shortens", async () => {
    for (const length of [0, 1, 1_000, 16_384, 1_000_000, 3_000_000]) {
      const packed = await packConfig(randomBytes(length));
      assert.ok(packed.length <= maxPackedBytes(length), `${packed.length} of ${length}`);
    }
  });
});
