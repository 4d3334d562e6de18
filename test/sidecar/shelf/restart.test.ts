/** The sidecar's snapshot across a restart, with a real directory as its disk. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { decodeReconfigure } from "../../../src/kong/reconfigure.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { DiskCache } from "../../../src/sidecar/shelf/disk-cache.ts";
import { Refresher } from "../../../src/sidecar/shelf/refresher.ts";
import { Remember } from "../../../src/sidecar/shelf/remember.ts";
import { Shelf, unpackSnapshot } from "../../../src/sidecar/shelf/shelf.ts";
import { Archive } from "../../../src/snapshots/archive.ts";
import { SnapshotError } from "../../../src/snapshots/errors.ts";
import { currentKey } from "../../../src/snapshots/layout.ts";
import { encodeMetadata } from "../../../src/snapshots/metadata.ts";
import { StoreReader } from "../../../src/snapshots/reader.ts";
import { PLAIN_SEAL } from "../../../src/snapshots/seal/seal.ts";
import { FileStore } from "../../../src/store/file.ts";
import { StoreError } from "../../../src/store/port.ts";
import { kongVersion, NEWER, snapshotOf, V391 } from "../../fakes/config.ts";
import { MemoryStore } from "../../fakes/memory-store.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";

const maxConfigBytes = 1_000_000;
const FRAME = readFileSync(
  new URL("../../fixtures/captures/3.9.1/rich.reconfigure.bin", import.meta.url),
);

let root: string;
let count = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "sidecar-disk-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

function freshDirectory(): string {
  count += 1;
  return join(root, `${count}`);
}

/** A sidecar's memory and disk, and its store; undefined: that is gone. */
function start(directory: string, store?: MemoryStore) {
  const gone = new MemoryStore();
  gone.intercept = () => Promise.reject(new StoreError("STORE_UNAVAILABLE", "store is gone"));
  const log = new RecordingLog();
  const shelf = new Shelf();
  const base = {
    shelf,
    seal: PLAIN_SEAL,
    clock: systemClock,
    random: Math.random,
    log,
    maxConfigBytes,
  };
  const disk = new DiskCache({
    trusted: [],
    match: "patch",
    ...base,
    store: new FileStore({ url: `file://${directory}`, directory, clock: systemClock }),
  });
  shelf.onNewer((_, servable) => disk.keep(servable));
  const remember = new Remember({ ...base, exporterId: "sidecar-1" });
  const refresher = new Refresher({
    ...base,
    disk,
    store: (kongVersion) =>
      new StoreReader({
        ...{ kongVersion, maxConfigBytes, log, store: store ?? gone },
        ...{ seal: PLAIN_SEAL, match: "patch" },
      }),
    refreshMs: 60_000,
    firstRoundMs: 20_000,
  });
  void refresher.want(V391);
  /** Runs until the first round is over and all that was found is written. */
  const runOnce = async (): Promise<void> => {
    const stop = new AbortController();
    const running = refresher.run(stop.signal);
    await refresher.firstRound;
    stop.abort();
    await running;
    await remember.run(stop.signal);
    await disk.run(stop.signal, AbortSignal.timeout(20_000));
  };
  return { shelf, log, remember, runOnce, served: () => shelf.newest(V391) };
}

async function remembered(): Promise<string> {
  const directory = freshDirectory();
  const { remember, runOnce } = start(directory);
  remember.offer(V391, FRAME);
  await runOnce();
  return directory;
}

describe("after a restart, with control plane and store gone", () => {
  it("the config that passed by is served: the same bytes and hashes", async () => {
    const directory = await remembered();
    const { runOnce, served } = start(directory);
    await runOnce();
    const servable = served();
    assert.equal(servable?.origin, "disk");
    assert.deepEqual(
      await decodeReconfigure(servable.frame, { maxConfigBytes }),
      await decodeReconfigure(FRAME, { maxConfigBytes }),
    );
  });

  it("it beats what lay in the store before it, saved while the control plane's clock was fast", async () => {
    const store = new MemoryStore();
    const { signal } = new AbortController();
    const exportedAt = new Date();
    const { config, metadata } = snapshotOf("fast", {
      exportedAt,
      controlPlaneTimestamp: exportedAt.getTime() / 1000 + 240,
    });
    const options = { metadata: encodeMetadata(metadata), contentType: "application/json" };
    await store.put(currentKey(V391), config, options, signal);
    const directory = freshDirectory();
    const first = start(directory, store);
    first.remember.offer(V391, FRAME);
    await first.runOnce();
    assert.equal(first.served()?.origin, "memory");
    const { configHash } = await decodeReconfigure(FRAME, { maxConfigBytes });
    assert.equal(first.served()?.configHash, configHash);
    const second = start(directory, store);
    await second.runOnce();
    assert.equal(second.served()?.origin, "disk");
    assert.equal(second.served()?.configHash, configHash);
  });

  it("so is the config that came from the store, and one copied into the store by hand", async () => {
    for (const byHand of [false, true]) {
      const store = new MemoryStore();
      const snapshot = snapshotOf("a");
      const archive = new Archive({
        store,
        kongVersion: V391,
        seal: PLAIN_SEAL,
        maxConfigBytes,
        log: new RecordingLog(),
      });
      const { signal } = new AbortController();
      if (!byHand) await archive.save(snapshot, { conditional: true, provenance: NEWER }, signal);
      const plain = { metadata: {}, contentType: "application/json" };
      if (byHand) await store.put(currentKey(V391), snapshot.config, plain, signal);
      const directory = freshDirectory();
      await start(directory, store).runOnce();
      const { runOnce, served } = start(directory);
      await runOnce();
      const servable = served();
      assert.ok(servable);
      assert.equal(servable.origin, "disk");
      assert.equal(servable.takenAt === undefined, byHand);
      assert.deepEqual(Buffer.from((await unpackSnapshot(servable)).config), snapshot.config);
    }
  });

  it("so is what stands in, until there is one of the version itself, however old", async () => {
    const store = new MemoryStore();
    const { signal } = new AbortController();
    const save = async (name: string, version: string, timestamp: number) => {
      const saved = kongVersion(version);
      const snapshot = snapshotOf(name, { kongVersion: saved, controlPlaneTimestamp: timestamp });
      const { config: body, metadata } = snapshot;
      const options = { metadata: encodeMetadata(metadata), contentType: "application/json" };
      await store.put(currentKey(saved), body, options, signal);
      return metadata.sha256;
    };
    const T0 = 1_795_220_000;
    const directory = freshDirectory();
    const standsIn = await save("stands in", "3.9.0", T0 + 100);
    await start(directory, store).runOnce();
    const without = start(directory);
    await without.runOnce();
    assert.equal(without.served()?.origin, "disk");
    assert.equal(without.served()?.metadata.sha256, standsIn);
    const own = await save("own", "3.9.1", T0);
    const back = start(directory, store);
    await back.runOnce();
    assert.equal(back.served()?.metadata.sha256, own);
    await save("stands in later", "3.9.0", T0 + 200);
    store.objects.delete(currentKey(V391));
    const bereft = start(directory, store);
    await bereft.runOnce();
    assert.equal(bereft.served()?.metadata.sha256, own);
  });

  it("nobody else can read what is kept: it holds the config's keys and passwords", async () => {
    const directory = await remembered();
    const entries = await readdir(directory, { recursive: true, withFileTypes: true });
    assert.ok(entries.some((entry) => entry.isFile()));
    const root = { parentPath: directory, name: "", isDirectory: () => true };
    for (const entry of [root, ...entries]) {
      const { mode } = await stat(join(entry.parentPath, entry.name));
      assert.equal(mode & 0o777, entry.isDirectory() ? 0o700 : 0o600, entry.name);
    }
  });
});

describe("a damaged copy on the disk", () => {
  const damages: Record<string, (body: Buffer) => Buffer> = {
    truncated: (body) => body.subarray(0, body.length - 1000),
    "with a flipped bit in a name": (body) => {
      const at = body.indexOf('"name":"') + '"name":"'.length;
      body[at] = (body[at] ?? 0) ^ 1;
      return body;
    },
    empty: () => Buffer.alloc(0),
    "that is another config, well-formed but not ours": () =>
      Buffer.from('{"_format_version":"3.0"}'),
  };
  for (const [damage, change] of Object.entries(damages)) {
    it(`is never served if it is ${damage}, and is replaced by the next config`, async () => {
      const directory = await remembered();
      const path = join(directory, currentKey(V391));
      await writeFile(path, change(await readFile(path)));
      const { runOnce, served, log, remember } = start(directory);
      await runOnce();
      assert.equal(served(), undefined);
      const [line] = log.find("snapshot on the local disk is not used");
      const error = line?.fields["err"];
      assert.ok(error instanceof SnapshotError);
      assert.equal(error.code, "SNAPSHOT_CORRUPT");
      assert.ok(error.hint);
      remember.offer(V391, FRAME);
      await runOnce();
      const again = start(directory);
      await again.runOnce();
      assert.equal(again.served()?.origin, "disk");
    });
  }

  it("is never served if its metadata are damaged", async () => {
    const directory = await remembered();
    const hidden = join(directory, V391, ".kong-fallback");
    const [companion] = (await readdir(hidden)).filter((name) => name.endsWith(".json"));
    assert.ok(companion);
    const good = await readFile(join(hidden, companion), "utf8");
    for (const bad of ["garbage", "{}", good.replace(/"sha256":"./, '"sha256":"x')]) {
      assert.notEqual(bad, good);
      await writeFile(join(hidden, companion), bad);
      const { runOnce, served, log } = start(directory);
      await runOnce();
      assert.equal(served(), undefined, bad.slice(0, 10));
      assert.equal(log.find("snapshot on the local disk is not used").length, 1);
    }
  });
});

describe("a directory that cannot be written to", () => {
  it("does not keep a config from being served", async () => {
    const directory = freshDirectory();
    await mkdir(directory, { mode: 0o700 });
    await writeFile(join(directory, V391), "a file where a folder is needed");
    const { remember, runOnce, served, log } = start(directory);
    remember.offer(V391, FRAME);
    await runOnce();
    assert.equal(served()?.frame, FRAME);
    const [error] = log.find("error").map(({ fields }) => fields["err"]);
    assert.ok(error instanceof StoreError);
    assert.equal(error.code, "STORE_MISCONFIGURED");
  });
});
