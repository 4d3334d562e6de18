import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { Shelf } from "../../../src/sidecar/shelf/shelf.ts";
import { StoreWatch } from "../../../src/sidecar/shelf/store-watch.ts";
import { Archive } from "../../../src/snapshots/archive.ts";
import type { SnapshotError } from "../../../src/snapshots/errors.ts";
import { currentKey } from "../../../src/snapshots/layout.ts";
import { encodeMetadata } from "../../../src/snapshots/metadata.ts";
import { PLAIN_SEAL } from "../../../src/snapshots/seal/seal.ts";
import type { NewSnapshot } from "../../../src/snapshots/snapshot.ts";
import type { Metadata } from "../../../src/store/port.ts";
import { StoreError } from "../../../src/store/port.ts";
import {
  CLUSTER_1,
  CLUSTER_2,
  configBytes,
  kongVersion,
  snapshotOf,
  V391,
} from "../../fakes/config.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { MemoryStore } from "../../fakes/memory-store.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";

const { signal } = new AbortController();
const T0 = 1_795_220_000;
const DOWN = new StoreError("STORE_UNAVAILABLE", "could not get: store is down");

function setUp() {
  const store = new MemoryStore();
  const shelf = new Shelf();
  const clock = new ManualClock();
  const log = new RecordingLog();
  const reader = new Archive({
    store,
    kongVersion: V391,
    seal: PLAIN_SEAL,
    maxConfigBytes: 10_000,
    log,
  });
  const watch = new StoreWatch({ reader, kongVersion: V391, shelf, clock, log });
  const put = (body: Uint8Array, metadata: Metadata) =>
    store.put(currentKey(V391), body, { metadata, contentType: "application/json" }, signal);
  return {
    store,
    shelf,
    clock,
    log,
    watch,
    save: ({ config, metadata }: NewSnapshot) => put(config, encodeMetadata(metadata)),
    putByHand: (name: string) => put(configBytes(name), {}),
    put,
    served: () => shelf.newest(V391)?.metadata.sha256,
  };
}

const sha256Of = (name: string) => snapshotOf(name).metadata.sha256;
const made = (name: string, after: number) =>
  snapshotOf(name, { controlPlaneTimestamp: T0 + after });

describe("following the store", () => {
  it("takes what is newer, leaves what is older, and moves no body twice", async () => {
    const { store, shelf, watch, save, served } = setUp();
    await shelf.offer(made("live", 10), "memory");
    await save(made("a", 0));
    assert.equal(await watch.look(signal), true);
    assert.equal(served(), sha256Of("live"));
    const { bytesRead } = store;
    assert.ok(bytesRead > 0);
    assert.equal(await watch.look(signal), true);
    assert.equal(store.bytesRead, bytesRead);
    await save(made("b", 11));
    assert.equal(await watch.look(signal), true);
    assert.equal(served(), sha256Of("b"));
    assert.equal(shelf.newest(V391)?.origin, "store");
  });

  it("keeps what is served while the store is down, and says so once every 5 minutes", async () => {
    const { store, clock, log, watch, save, served } = setUp();
    await save(made("a", 0));
    await watch.look(signal);
    store.failNext(DOWN, 4);
    assert.equal(await watch.look(signal), false);
    assert.equal(await watch.look(signal), false);
    await clock.advance(5 * 60_000 - 1);
    assert.equal(await watch.look(signal), false);
    assert.equal(log.find("warn").length, 1);
    await clock.advance(1);
    assert.equal(await watch.look(signal), false);
    assert.equal(log.find("warn").length, 2);
    assert.equal(served(), sha256Of("a"));
    assert.equal(await watch.look(signal), true);
    assert.equal(log.find("store answers again").length, 1);
  });

  it("keeps what is served if the snapshot in the store is damaged or gone", async () => {
    const { store, log, watch, save, put, served } = setUp();
    await save(made("a", 0));
    await watch.look(signal);
    const { config, metadata } = made("b", 1);
    await put(config.subarray(0, 40), encodeMetadata(metadata));
    assert.equal(await watch.look(signal), false);
    assert.equal(log.find("error").length, 1);
    await store.delete(currentKey(V391), signal);
    assert.equal(await watch.look(signal), true);
    assert.match(watch.missing?.message ?? "", /no snapshot for Kong 3\.9\.1/);
    assert.equal(served(), sha256Of("a"));
    await save(made("b", 1));
    await watch.look(signal);
    assert.equal(watch.missing, undefined);
    assert.equal(served(), sha256Of("b"));
  });

  it("ends with what is a bug, and with the signal's reason", async () => {
    const { store, watch } = setUp();
    store.failNext(new RangeError("a bug"));
    await assert.rejects(watch.look(signal), /a bug/);
    await assert.rejects(watch.look(AbortSignal.abort(new Error("stop"))), /stop/);
  });
});

describe("a config copied into the store by hand", () => {
  it("is served, with a warning, if there is nothing else", async () => {
    const { shelf, log, watch, putByHand, served } = setUp();
    await putByHand("hand");
    await watch.look(signal);
    assert.equal(served(), sha256Of("hand"));
    assert.equal(shelf.newest(V391)?.takenAt, undefined);
    assert.equal(log.find("warn").length, 1);
    await shelf.offer(made("older than all", -1_000_000), "memory");
    assert.equal(served(), sha256Of("older than all"));
  });

  it("loses to anything else if it lay there before", async () => {
    const { store, shelf, watch, putByHand, served } = setUp();
    await shelf.offer(made("kept", -1_000_000), "disk");
    await putByHand("hand");
    store.failNext(DOWN);
    await watch.look(signal);
    await watch.look(signal);
    assert.equal(served(), sha256Of("kept"));
  });

  it("wins, with a warning, if it comes while we watch, whatever the clock of the exporter said", async () => {
    const { shelf, clock, log, watch, save, putByHand, served } = setUp();
    await save(snapshotOf("a", { exportedAt: new Date("2026-11-22T00:00:00Z") }));
    await watch.look(signal);
    await putByHand("hand");
    await watch.look(signal);
    assert.equal(served(), sha256Of("hand"));
    assert.equal(log.find("warn").length, 1);
    assert.ok((shelf.newest(V391)?.takenAt?.getTime() ?? 0) >= clock.now().getTime());
  });

  it("wins if nothing, or nothing good, lay there before", async () => {
    for (const before of ["nothing", "damage"]) {
      const { shelf, watch, put, putByHand, served } = setUp();
      await shelf.offer(made("kept", 0), "disk");
      if (before === "damage") await put(Buffer.from("{"), {});
      await watch.look(signal);
      assert.equal(served(), sha256Of("kept"));
      await putByHand("hand");
      await watch.look(signal);
      assert.equal(served(), sha256Of("hand"), before);
    }
  });

  it("gives way to the next live config", async () => {
    const { shelf, clock, watch, putByHand, served } = setUp();
    await watch.look(signal);
    await putByHand("hand");
    await watch.look(signal);
    await clock.advance(1_000);
    await shelf.offer(snapshotOf("live", { exportedAt: clock.now() }), "memory");
    assert.equal(served(), sha256Of("live"));
  });
});

describe("a store that holds another cluster's config", () => {
  const ours = snapshotOf("ours", { clusterId: CLUSTER_1, controlPlaneTimestamp: T0 });
  const theirs = snapshotOf("theirs", { clusterId: CLUSTER_2, controlPlaneTimestamp: T0 + 100 });

  it("gives none where the control plane's passed by, which is said once, and read once", async () => {
    for (const origin of ["memory", "disk"] as const) {
      const { store, shelf, log, watch, save, served } = setUp();
      await shelf.offer(ours, origin);
      await save(theirs);
      assert.equal(await watch.look(signal), false);
      const { bytesRead } = store;
      assert.equal(await watch.look(signal), false);
      assert.equal(store.bytesRead, bytesRead);
      assert.equal(served(), ours.metadata.sha256);
      const [said, ...more] = log.find(
        "store gives no snapshot, an operator must act; what is there is served",
      );
      assert.equal(more.length, 0);
      const { code } = (said ?? assert.fail()).fields["err"] as SnapshotError;
      assert.equal(code, "SNAPSHOT_OTHER_CLUSTER");
      await save(snapshotOf("next", { clusterId: CLUSTER_1, controlPlaneTimestamp: T0 + 200 }));
      assert.equal(await watch.look(signal), true);
      assert.equal(shelf.newest(V391)?.origin, "store");
    }
  });

  it("makes room for the control plane's own, of every version and whatever it lost", async () => {
    const shelf = new Shelf({ examine: () => ["it lost too much"], onHeld: () => {} });
    await shelf.offer(theirs, "store");
    const older = kongVersion("3.4.2");
    await shelf.offer({ ...theirs, wanted: older }, "store");
    await shelf.offer(ours, "memory");
    assert.equal(shelf.newest(V391)?.metadata.sha256, ours.metadata.sha256);
    assert.equal(shelf.newest(older), undefined);
  });
});
