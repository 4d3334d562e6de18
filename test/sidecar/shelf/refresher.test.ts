import assert from "node:assert/strict";
import { describe, it } from "vitest";
import type { KongVersion } from "../../../src/kong/version.ts";
import { type DiskReader, Refresher } from "../../../src/sidecar/shelf/refresher.ts";
import { MAX_VERSIONS, Shelf } from "../../../src/sidecar/shelf/shelf.ts";
import { Archive } from "../../../src/snapshots/archive.ts";
import { SnapshotError } from "../../../src/snapshots/errors.ts";
import { currentKey } from "../../../src/snapshots/layout.ts";
import { encodeMetadata } from "../../../src/snapshots/metadata.ts";
import { PLAIN_SEAL } from "../../../src/snapshots/seal/seal.ts";
import type { NewSnapshot } from "../../../src/snapshots/snapshot.ts";
import { StoreError } from "../../../src/store/port.ts";
import { kongVersion, snapshotOf, V391 } from "../../fakes/config.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { MemoryStore } from "../../fakes/memory-store.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";

const REFRESH_MS = 60_000;
const FIRST_ROUND_MS = 3_000;
const V342 = kongVersion("3.4.2");
const T0 = 1_795_220_000;
const DOWN = new StoreError("STORE_UNAVAILABLE", "could not get: store is down");
const never = () => new Promise<never>(() => {});

function setUp(options: { disk?: DiskReader; hasStore?: boolean; random?: number } = {}) {
  const store = new MemoryStore();
  const shelf = new Shelf();
  const clock = new ManualClock();
  const log = new RecordingLog();
  const stop = new AbortController();
  const archive = (version: KongVersion) =>
    new Archive({ store, kongVersion: version, seal: PLAIN_SEAL, maxConfigBytes: 10_000, log });
  const refresher = new Refresher({
    shelf,
    disk: options.disk,
    store: options.hasStore === false ? undefined : archive,
    refreshMs: REFRESH_MS,
    firstRoundMs: FIRST_ROUND_MS,
    clock,
    random: () => options.random ?? 0.5,
    log,
  });
  const save = ({ config, metadata }: NewSnapshot) =>
    store.put(
      currentKey(metadata.kongVersion),
      config,
      { metadata: encodeMetadata(metadata), contentType: "application/json" },
      stop.signal,
    );
  const served = (version = V391) => shelf.newest(version)?.metadata.sha256;
  return { store, shelf, clock, log, stop, refresher, save, served };
}

/** A disk on which these lie. */
function diskWith(...snapshots: NewSnapshot[]): DiskReader {
  return {
    read: async (version) => {
      const snapshot = snapshots.find(({ metadata }) => metadata.kongVersion === version);
      return snapshot && { ...snapshot, isMeasured: true };
    },
  };
}

const sha256Of = (name: string) => snapshotOf(name).metadata.sha256;
const made = (name: string, after: number) =>
  snapshotOf(name, { controlPlaneTimestamp: T0 + after });

describe("keeping the shelf warm", () => {
  it("has tried disk and store for every version when the first round is over", async () => {
    const old = snapshotOf("old", { kongVersion: V342 });
    const { refresher, save, served, stop, clock } = setUp({ disk: diskWith(made("a", 0), old) });
    await save(made("b", 1));
    void refresher.want(V391);
    void refresher.want(V342);
    const running = refresher.run(stop.signal);
    await refresher.firstRound;
    assert.equal(served(), sha256Of("b"));
    assert.equal(served(V342), sha256Of("old"));
    stop.abort();
    await running;
    assert.equal(clock.sleepers, 0);
  });

  it("looks into the store again and again, at times that vary by a tenth", async () => {
    for (const [random, delayMs] of [[0, 54_000] as const, [0.999, 65_988] as const]) {
      const { refresher, save, served, stop, clock } = setUp({ random });
      void refresher.want(V391);
      const running = refresher.run(stop.signal);
      await refresher.firstRound;
      for (const round of [1, 2]) {
        await clock.untilSleeping(delayMs);
        const name = `round ${round}`;
        await save(made(name, round));
        await clock.advance(delayMs);
        await clock.untilSleeping(delayMs);
        assert.equal(served(), sha256Of(name));
      }
      stop.abort();
      await running;
    }
  });

  it("tells when the first look for a version wanted later is over, whatever it found", async () => {
    const { refresher, save, served, stop } = setUp();
    const running = refresher.run(stop.signal);
    await save(made("a", 0));
    await refresher.want(V391);
    assert.equal(served(), sha256Of("a"));
    await refresher.want(V342);
    assert.equal(served(V342), undefined);
    stop.abort();
    await running;
  });

  it("looks less often while the store fails, and as before when it answers", async () => {
    const { refresher, store, served, save, stop, clock } = setUp();
    await save(made("a", 0));
    store.failNext(DOWN, 4);
    void refresher.want(V391);
    const running = refresher.run(stop.signal);
    for (const factor of [2, 4, 4, 4]) {
      await clock.untilSleeping(REFRESH_MS * factor);
      await clock.advance(REFRESH_MS * factor);
    }
    await clock.untilSleeping(REFRESH_MS);
    assert.equal(served(), sha256Of("a"));
    stop.abort();
    await running;
  });

  it("does not let a dead store hold up the start, nor the disk of a version wanted later", async () => {
    const old = snapshotOf("old", { kongVersion: V342 });
    const { refresher, shelf, store, served, stop, clock } = setUp({
      disk: diskWith(made("a", 0), old),
    });
    const isAsked = new Promise<void>((resolve) => {
      store.intercept = () => {
        resolve();
        return never();
      };
    });
    void refresher.want(V391);
    const running = refresher.run(stop.signal);
    await isAsked;
    await clock.advance(FIRST_ROUND_MS);
    await refresher.firstRound;
    assert.equal(served(), sha256Of("a"));
    const isThere = new Promise<void>((resolve) => shelf.onNewer(() => resolve()));
    void refresher.want(V342);
    await isThere;
    assert.equal(served(V342), sha256Of("old"));
    stop.abort();
    await running;
  });

  it("does not let a disk that hangs keep it from the store, nor calls it again", async () => {
    let calls = 0;
    const read = () => {
      calls += 1;
      return never();
    };
    const { refresher, save, served, stop, clock } = setUp({ disk: { read } });
    await save(made("a", 0));
    await save(snapshotOf("old", { kongVersion: V342 }));
    for (const version of [V391, V342]) void refresher.want(version);
    const running = refresher.run(stop.signal);
    await clock.untilSleeping(1_000);
    await clock.advance(1_000);
    await refresher.firstRound;
    assert.equal(served(), sha256Of("a"));
    assert.equal(served(V342), sha256Of("old"));
    assert.equal(calls, 1);
    stop.abort();
    await running;
    assert.equal(clock.sleepers, 0);
  });

  it("goes on without a disk that cannot be read or trusted, and says what to do", async () => {
    for (const error of [
      new SnapshotError("SNAPSHOT_CORRUPT", "it is truncated", { hint: "do this" }),
      new StoreError("STORE_DENIED", "could not get", { hint: "do this" }),
    ]) {
      const { refresher, save, served, log, stop } = setUp({
        disk: { read: () => Promise.reject(error) },
      });
      await save(made("a", 0));
      void refresher.want(V391);
      const running = refresher.run(stop.signal);
      await refresher.firstRound;
      assert.equal(served(), sha256Of("a"));
      assert.deepEqual(
        log.find("error").map(({ fields }) => fields["err"]),
        [error],
      );
      stop.abort();
      await running;
    }
  });

  it("works with the disk alone, and with nothing at all", async () => {
    for (const disk of [diskWith(made("a", 0)), undefined]) {
      const { refresher, served, stop, clock } = setUp({
        hasStore: false,
        ...(disk ? { disk } : {}),
      });
      void refresher.want(V391);
      const running = refresher.run(stop.signal);
      await refresher.firstRound;
      assert.equal(served(), disk && sha256Of("a"));
      assert.equal(clock.sleepers, 0);
      stop.abort();
      await running;
    }
  });
});

describe("a version that no source has", () => {
  it("is said once, with the versions that are there", async () => {
    const { refresher, save, log, stop, clock } = setUp();
    await save(snapshotOf("old", { kongVersion: V342 }));
    void refresher.want(V342);
    void refresher.want(V391);
    void refresher.want(V391);
    const running = refresher.run(stop.signal);
    await refresher.firstRound;
    for (let round = 0; round < 3; round += 1) {
      await clock.untilSleeping(REFRESH_MS);
      await clock.advance(REFRESH_MS);
    }
    const [line, ...more] = log.find("warn");
    assert.deepEqual(more, []);
    assert.equal(line?.fields["kongVersion"], V391);
    assert.deepEqual(line?.fields["served"], [V342]);
    assert.match(String(line?.fields["err"]), /there are some for 3\.4\.2/);
    stop.abort();
    await running;
  });
});

describe("wanting versions", () => {
  it("is limited: a data plane says itself what it is", async () => {
    const asked: KongVersion[] = [];
    const disk: DiskReader = {
      read: async (version) => {
        asked.push(version);
        return undefined;
      },
    };
    const { refresher, log, stop } = setUp({ disk, hasStore: false });
    const versions = Array.from({ length: MAX_VERSIONS + 2 }, (_, n) => kongVersion(`3.9.${n}`));
    for (const version of versions) void refresher.want(version);
    const running = refresher.run(stop.signal);
    await refresher.firstRound;
    assert.deepEqual(asked, versions.slice(0, MAX_VERSIONS));
    const refused = log.find("warn").filter(({ fields }) => "limit" in fields);
    assert.equal(refused.length, 1);
    stop.abort();
    await running;
  });
});

describe("the end of the refresher", () => {
  it("lets go of who waits for the first round", async () => {
    const { refresher, store, stop, clock } = setUp();
    store.intercept = never;
    void refresher.want(V391);
    const running = refresher.run(stop.signal);
    await clock.untilSleeping(FIRST_ROUND_MS);
    stop.abort();
    await running;
    await refresher.firstRound;
    assert.equal(clock.sleepers, 0);
  });

  it("is the rejection with what is a bug", async () => {
    const { refresher, store, stop } = setUp();
    store.failNext(new RangeError("a bug"));
    void refresher.want(V391);
    await assert.rejects(refresher.run(stop.signal), /a bug/);
    await refresher.firstRound;
  });
});
