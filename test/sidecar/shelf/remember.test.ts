import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, it } from "vitest";
import { decodeReconfigure, encodeReconfigure } from "../../../src/kong/reconfigure.ts";
import { Remember } from "../../../src/sidecar/shelf/remember.ts";
import { MAX_VERSIONS, Shelf } from "../../../src/sidecar/shelf/shelf.ts";
import { sha256 } from "../../../src/snapshots/snapshot.ts";
import { configBytes, kongVersion, updateOf, V391 } from "../../fakes/config.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";

const LIMITS = { maxConfigBytes: 100_000 };
const T0 = 1_795_220_000;

function setUp() {
  const shelf = new Shelf();
  const clock = new ManualClock();
  const log = new RecordingLog();
  const stop = new AbortController();
  const remember = new Remember({ shelf, exporterId: "sidecar-1", ...LIMITS, clock, log });
  /** Reads all that was offered. */
  const readAll = () => remember.run(AbortSignal.abort());
  const served = () => shelf.newest(V391);
  return { shelf, clock, log, stop, remember, readAll, served };
}

function recorded(): Buffer {
  return readFileSync(
    new URL("../../fixtures/captures/3.9.1/rich.reconfigure.bin", import.meta.url),
  );
}

const frameOf = (name: string, after = 0) => encodeReconfigure(updateOf(name, T0 + after));

describe("a config that passes by", () => {
  it("is remembered with all that is known of it, and served as the very bytes that came", async () => {
    const { remember, readAll, served, clock } = setUp();
    const frame = recorded();
    const update = await decodeReconfigure(frame, LIMITS);
    remember.offer(V391, frame);
    const passedAt = clock.now();
    await clock.advance(1_000);
    await readAll();
    const servable = served();
    assert.equal(servable?.frame, frame);
    assert.equal(servable?.origin, "memory");
    assert.ok(servable?.plugins.has("key-auth"));
    assert.deepEqual(servable?.metadata, {
      kongVersion: V391,
      configHash: update.configHash,
      hashes: update.hashes,
      hashMatch: "unchecked",
      sha256: sha256(update.configTable),
      bytes: update.configTable.length,
      controlPlaneTimestamp: update.timestamp,
      exportedAt: passedAt,
      exporterId: "sidecar-1",
      fencingToken: 0,
      clusterId: "e7812444-1462-4a17-b514-1555b47caa5e",
      rehearsed: false,
      entities: undefined,
    });
  });

  it("is read in the background as it comes, until the end, when what is left is read", async () => {
    const { remember, shelf, stop, served } = setUp();
    const running = remember.run(stop.signal);
    await setImmediate();
    const isRead = new Promise<void>((resolve) => shelf.onNewer(() => resolve()));
    remember.offer(V391, await frameOf("a"));
    await isRead;
    remember.offer(V391, await frameOf("b", 1));
    stop.abort();
    await running;
    assert.equal(served()?.metadata.sha256, sha256(configBytes("b")));
  });

  it("is not read again if the same bytes pass again", async () => {
    const { remember, readAll, shelf } = setUp();
    let reads = 0;
    const offer = shelf.offer.bind(shelf);
    shelf.offer = (...given) => {
      reads += 1;
      return offer(...given);
    };
    const frame = await frameOf("a");
    for (const again of [frame, Buffer.from(frame)]) {
      remember.offer(V391, again);
      await readAll();
    }
    assert.equal(reads, 1);
    remember.offer(V391, await frameOf("b", 1));
    await readAll();
    assert.equal(reads, 2);
  });

  it("is dropped unread if a newer one of its version comes before its turn", async () => {
    const { remember, readAll, shelf } = setUp();
    const taken: string[] = [];
    shelf.onNewer((version, { metadata }) => taken.push(`${version} ${metadata.sha256}`));
    const V342 = kongVersion("3.4.2");
    remember.offer(V391, await frameOf("a"));
    remember.offer(V342, await frameOf("a"));
    remember.offer(V391, await frameOf("b", 1));
    await readAll();
    assert.deepEqual(taken, [
      `${V391} ${sha256(configBytes("b"))}`,
      `${V342} ${sha256(configBytes("a"))}`,
    ]);
  });

  it("does not put an unusable hash of the control plane before other data planes", async () => {
    const { remember, readAll, served } = setUp();
    const table = configBytes("a").toString();
    const frame = gzipSync(`{"type":"reconfigure","config_hash":"short","config_table":${table}}`);
    remember.offer(V391, frame);
    await readAll();
    const sent = served()?.frame;
    assert.ok(sent);
    const payload = JSON.parse(gunzipSync(sent).toString());
    assert.deepEqual(payload, { type: "reconfigure", config_table: JSON.parse(table) });
  });
});

describe("a message that is no config", () => {
  it("is said once at debug, and what is served stays", async () => {
    const { remember, readAll, served, log } = setUp();
    const frame = await frameOf("a");
    const garbage = [Buffer.from("hello"), Buffer.from("{}"), frame.subarray(0, 50)];
    for (const message of [frame, ...garbage]) {
      remember.offer(V391, message);
      await readAll();
    }
    assert.equal(served()?.frame, frame);
    const codes = log
      .find("debug")
      .map(({ fields }) => (fields["err"] as { code: string } | undefined)?.code);
    assert.deepEqual(codes, ["FRAME_NOT_GZIP", "FRAME_CORRUPT"]);
    assert.deepEqual([...log.find("warn"), ...log.find("error")], []);
  });

  it("is a warning if it is a config too long to be remembered", async () => {
    const { remember, readAll, served, log } = setUp();
    for (const length of [LIMITS.maxConfigBytes + 1, LIMITS.maxConfigBytes + 2]) {
      remember.offer(V391, gzipSync(Buffer.alloc(length)));
      await readAll();
    }
    assert.equal(served(), undefined);
    const [line, ...more] = log.find("warn");
    assert.deepEqual(more, []);
    assert.match(String(line?.fields["err"]), /more than 100000 bytes/);
  });
});

describe("the memory", () => {
  it("is limited in the number of versions, for a data plane says itself what it is", async () => {
    const { remember, readAll, shelf } = setUp();
    const frame = await frameOf("a");
    for (let n = 0; n <= MAX_VERSIONS; n += 1) remember.offer(kongVersion(`3.9.${n}`), frame);
    await readAll();
    assert.equal(shelf.versions().length, MAX_VERSIONS);
    assert.equal(shelf.newest(kongVersion(`3.9.${MAX_VERSIONS}`)), undefined);
  });
});
