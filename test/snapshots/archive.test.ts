import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { PROPAGATION_MS } from "../../src/kong/wire.ts";
import { SnapshotError } from "../../src/snapshots/errors.ts";
import { StoreError } from "../../src/store/port.ts";
import { kongVersion, snapshotOf } from "../fakes/config.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { archiveOn, type Change, CONDITIONAL, KEY, objectIn, signal, spoil } from "./stage.ts";

function setUp(store = new MemoryStore()) {
  const log = new RecordingLog();
  const archive = archiveOn(store, { log, keepHistory: false });
  return { store, log, archive };
}

function stored(store: MemoryStore): string {
  return Buffer.from(store.objects.get(KEY)?.body ?? []).toString();
}

async function failure(promise: Promise<unknown>): Promise<SnapshotError> {
  const error: unknown = await promise.then(
    () => assert.fail("it succeeded"),
    (reason) => reason,
  );
  assert.ok(error instanceof SnapshotError, String(error));
  return error;
}

describe("saving a snapshot", () => {
  it("writes the config's bytes and all metadata in one object, and reads them back verified", async () => {
    const { store, archive } = setUp();
    const snapshot = snapshotOf("a", {
      hashes: { config: "1".repeat(32), routes: "0".repeat(32) },
    });
    assert.equal((await archive.save(snapshot, CONDITIONAL, signal)).kind, "saved");
    assert.deepEqual([...store.objects.keys()], [KEY]);
    assert.equal(stored(store), Buffer.from(snapshot.config).toString());
    assert.equal(store.objects.get(KEY)?.contentType, "application/json");
    const latest = await setUp(store).archive.latest(signal);
    assert.deepEqual(Buffer.from(latest.config), snapshot.config);
    assert.deepEqual(latest.metadata, snapshot.metadata);
  });

  it("takes a config of which the control plane told neither hash nor time", async () => {
    const { store, archive } = setUp();
    const bare = { configHash: undefined, hashes: {}, controlPlaneTimestamp: undefined };
    const snapshot = snapshotOf("a", { ...bare, hashMatch: "unchecked" });
    assert.equal((await archive.save(snapshot, CONDITIONAL, signal)).kind, "saved");
    assert.deepEqual((await setUp(store).archive.latest(signal)).metadata, snapshot.metadata);
  });

  it("writes nothing if the same config lies there already, though its bytes or timestamp differ", async () => {
    const { store, archive } = setUp();
    await archive.save(snapshotOf("a"), CONDITIONAL, signal);
    const before = store.objects.get(KEY)?.version;
    const again = snapshotOf("a", { controlPlaneTimestamp: 1_795_999_999, sha256: "e".repeat(64) });
    assert.deepEqual(await archive.save(again, CONDITIONAL, signal), { kind: "unchanged" });
    const restarted = setUp(store).archive;
    assert.deepEqual(await restarted.save(again, CONDITIONAL, signal), { kind: "unchanged" });
    assert.equal(store.objects.get(KEY)?.version, before);
  });

  it("reads again and decides anew when another exporter wrote in between", async () => {
    const store = new MemoryStore();
    const one = setUp(store).archive;
    const other = setUp(store).archive;
    await one.save(snapshotOf("a"), CONDITIONAL, signal);
    await other.save(
      snapshotOf("b", { exporterId: "exporter-2", controlPlaneTimestamp: 1_795_220_100 }),
      CONDITIONAL,
      signal,
    );
    const unconfirmed = await one.save(snapshotOf("c"), { conditional: true }, signal);
    assert.equal(unconfirmed.kind, "unconfirmed");
    assert.match(stored(store), /"b"/);
    const newer = await one.save(snapshotOf("d"), CONDITIONAL, signal);
    assert.equal(newer.kind, "saved");
    assert.match(stored(store), /"d"/);
  });

  it("recognises its own write when only the answer to it was lost", async () => {
    const { store, archive } = setUp();
    await archive.save(snapshotOf("a"), CONDITIONAL, signal);
    const put = store.put.bind(store);
    store.put = async (...arguments_) => {
      await put(...arguments_);
      store.put = put;
      throw new StoreError("STORE_UNAVAILABLE", "the answer was lost");
    };
    await assert.rejects(archive.save(snapshotOf("b"), CONDITIONAL, signal), /answer was lost/);
    assert.deepEqual(await archive.save(snapshotOf("b"), CONDITIONAL, signal), {
      kind: "unchanged",
    });
    assert.match(stored(store), /"b"/);
  });

  it("replaces an object that cannot be trusted, and says so", async () => {
    for (const change of [
      { body: Buffer.from("{") },
      { body: Buffer.alloc(0) },
      { body: Buffer.alloc(20_000) },
      { body: Buffer.alloc(200_000) },
    ]) {
      const { store, archive, log } = setUp();
      await setUp(store).archive.save(snapshotOf("a"), CONDITIONAL, signal);
      spoil(store, change);
      assert.equal((await archive.save(snapshotOf("a"), CONDITIONAL, signal)).kind, "saved");
      assert.match(stored(store), /"a"/);
      assert.equal(log.find("saved snapshot is unusable and will be replaced").length, 1);
    }
  });

  it("is fenced by the token of one that is too long to be read, and lists nothing to replace it", async () => {
    const { store, archive } = setUp();
    await archive.save(snapshotOf("a", { fencingToken: 2 }), CONDITIONAL, signal);
    spoil(store, { body: Buffer.alloc(200_000) });
    const operations = new Set<string>();
    store.intercept = async (operation) => void operations.add(operation);
    const lower = snapshotOf("b", { fencingToken: 1 });
    assert.deepEqual(await setUp(store).archive.save(lower, CONDITIONAL, signal), {
      kind: "stale",
      storedToken: 2,
      stored: undefined,
    });
    const higher = snapshotOf("b", { fencingToken: 3 });
    const { kind } = await setUp(store).archive.save(higher, CONDITIONAL, signal);
    assert.deepEqual([kind, operations], ["saved", new Set(["get", "head", "put"])]);
  });

  it("reads one that takes the place of one that was too long, and decides by that", async () => {
    const { store, archive } = setUp();
    await archive.save(snapshotOf("a"), CONDITIONAL, signal);
    const good = objectIn(store);
    spoil(store, { body: Buffer.alloc(200_000) });
    store.intercept = async (operation) => {
      if (operation === "head") store.objects.set(KEY, good);
    };
    const another = snapshotOf("b", { exporterId: "exporter-2" });
    const outcome = await setUp(store).archive.save(another, { conditional: true }, signal);
    assert.equal(outcome.kind, "unconfirmed");
  });

  it("never replaces what a newer program wrote, nor where that is too long to be read", async () => {
    for (const body of [snapshotOf("a").config, Buffer.alloc(200_000)]) {
      const { store, archive } = setUp();
      await setUp(store).archive.save(snapshotOf("a"), CONDITIONAL, signal);
      spoil(store, { body, metadata: { format: "kong-fallback/2" } });
      const error = await failure(archive.save(snapshotOf("b"), CONDITIONAL, signal));
      assert.equal(error.code, "SNAPSHOT_UNKNOWN_FORMAT");
      assert.equal(objectIn(store).metadata["format"], "kong-fallback/2");
    }
  });

  it("replaces a config copied there by hand", async () => {
    const { store, archive } = setUp();
    await setUp(store).archive.save(snapshotOf("a"), CONDITIONAL, signal);
    spoil(store, { metadata: {} });
    assert.equal((await archive.save(snapshotOf("b"), CONDITIONAL, signal)).kind, "saved");
  });

  it("counts what was seen as seen from the first time on, whoever looked again", async () => {
    const store = new MemoryStore();
    const clock = new ManualClock();
    await archiveOn(store).save(snapshotOf("a", { exporterId: "exporter-2" }), CONDITIONAL, signal);
    const archive = archiveOn(store, { clock });
    await archive.sight(undefined, signal);
    await clock.advance(PROPAGATION_MS);
    await archive.recall(signal);
    const received = (asOfMs: number) => ({
      conditional: true,
      provenance: { asOfMs, follows: () => false },
    });
    const early = await archive.save(snapshotOf("b"), received(PROPAGATION_MS - 1), signal);
    assert.ok(early.kind === "unconfirmed" && early.sinceMs === PROPAGATION_MS);
    const outcome = await archive.save(snapshotOf("b"), received(PROPAGATION_MS), signal);
    assert.ok(outcome.kind === "saved" && outcome.rule === "confirmed");
  });

  it("stamps what it writes later than all it wrote before, though that is damaged or gone", async () => {
    for (const isGone of [false, true]) {
      const { store, archive } = setUp();
      const fast = snapshotOf("a", { controlPlaneTimestamp: 1_800_000_000 });
      await archive.save(fast, CONDITIONAL, signal);
      if (isGone) store.objects.delete(KEY);
      else spoil(store, { body: Buffer.from("{") });
      await archive.recall(signal);
      const outcome = await archive.save(snapshotOf("b"), CONDITIONAL, signal);
      assert.ok(outcome.kind === "saved");
      assert.equal(outcome.metadata.controlPlaneTimestamp, 1_800_000_000.001);
    }
  });

  it("takes no token from what was saved for another Kong version", async () => {
    const { store, archive } = setUp();
    await archive.save(snapshotOf("a", { fencingToken: 9 }), CONDITIONAL, signal);
    const { metadata } = objectIn(store);
    spoil(store, { metadata: { ...metadata, "kong-version": "3.8.0" } });
    assert.equal(await archive.highestToken(signal), 0);
    const lower = snapshotOf("b", { fencingToken: 1 });
    assert.equal((await setUp(store).archive.save(lower, CONDITIONAL, signal)).kind, "saved");
  });

  it("gives up after a few conflicts instead of racing for ever", async () => {
    const { store, archive } = setUp();
    let puts = 0;
    store.intercept = async (operation) => {
      if (operation !== "put") return;
      puts += 1;
      throw new StoreError("STORE_PRECONDITION_FAILED", "somebody else wrote");
    };
    await assert.rejects(archive.save(snapshotOf("a"), CONDITIONAL, signal), {
      code: "STORE_PRECONDITION_FAILED",
    });
    assert.equal(puts, 6);
  });

  it("without preconditions, reads before each write", async () => {
    const { store, archive } = setUp();
    const plain = { ...CONDITIONAL, conditional: false };
    await archive.save(snapshotOf("a"), plain, signal);
    await setUp(store).archive.save(
      snapshotOf("b", { exporterId: "exporter-2", controlPlaneTimestamp: 1_795_220_100 }),
      plain,
      signal,
    );
    const last = await archive.save(snapshotOf("c"), { conditional: false }, signal);
    assert.equal(last.kind, "unconfirmed");
    assert.match(stored(store), /"b"/);
  });
});

describe("reading the latest snapshot", () => {
  it("says which versions there are when there is none for this one", async () => {
    const { store } = setUp();
    const none = await failure(setUp(store).archive.latest(signal));
    assert.equal(none.code, "SNAPSHOT_MISSING");
    assert.match(none.message, /no snapshot for Kong 3\.9\.1 in memory:\/\/test$/);
    assert.match(none.hint ?? "", /KONG_VERSION/);
    const older = archiveOn(store, { kongVersion: kongVersion("3.8.0") });
    await older.save(snapshotOf("a", { kongVersion: kongVersion("3.8.0") }), CONDITIONAL, signal);
    const some = await failure(setUp(store).archive.latest(signal));
    assert.match(some.message, /there are some for 3\.8\.0/);
  });

  it("still says that it is missing when listing is forbidden", async () => {
    const { store, archive } = setUp();
    store.intercept = async (operation) => {
      if (operation === "list") throw new StoreError("STORE_DENIED", "no ListBucket");
    };
    assert.equal((await failure(archive.latest(signal))).code, "SNAPSHOT_MISSING");
  });

  const cases: readonly [string, Change, RegExp][] = [
    ["truncated", { body: snapshotOf("a").config.subarray(0, 40) }, /has 40 bytes where \d+ were/],
    ["empty", { body: Buffer.alloc(0) }, /is empty/],
    [
      "not a config and without metadata",
      { body: Buffer.from("<html>"), metadata: {} },
      /is not a Kong configuration/,
    ],
    [
      "without _format_version",
      { body: Buffer.from('{"services":[]}'), metadata: {} },
      /_format_version/,
    ],
  ];
  for (const [what, change, message] of cases) {
    it(`refuses an object that is ${what}`, async () => {
      const { store, archive } = setUp();
      await archive.save(snapshotOf("a"), CONDITIONAL, signal);
      spoil(store, change);
      const error = await failure(archive.latest(signal));
      assert.equal(error.code, "SNAPSHOT_CORRUPT");
      assert.equal(error.exitStatus, 3);
      assert.match(error.message, message);
      assert.match(error.message, /memory:\/\/test\/3\.9\.1\/config\.json/);
    });
  }

  it("refuses an object with any single bit flipped", async () => {
    const { store, archive } = setUp();
    await archive.save(snapshotOf("a"), CONDITIONAL, signal);
    const good = snapshotOf("a").config;
    for (let bit = 0; bit < good.length * 8; bit += 13) {
      const body = Buffer.from(good);
      body[bit >> 3] = (body[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      spoil(store, { body });
      assert.equal((await failure(archive.latest(signal))).code, "SNAPSHOT_CORRUPT");
    }
  });

  it("refuses the config of another Kong version, even under this version's key", async () => {
    const { store, archive } = setUp();
    await archive.save(snapshotOf("a", { kongVersion: kongVersion("3.8.0") }), CONDITIONAL, signal);
    const error = await failure(setUp(store).archive.latest(signal));
    assert.equal(error.code, "SNAPSHOT_WRONG_VERSION");
    assert.match(error.message, /saved for Kong 3\.8\.0, not for 3\.9\.1/);
  });

  it("refuses metadata it cannot read", async () => {
    const { store, archive } = setUp();
    await archive.save(snapshotOf("a"), CONDITIONAL, signal);
    const { metadata } = store.objects.get(KEY) ?? {};
    for (const change of [
      { sha256: "x" },
      { bytes: "-1" },
      { hashes: "routes" },
      { "exported-at": "now" },
    ]) {
      spoil(store, { metadata: { ...metadata, ...change } });
      const error = await failure(archive.latest(signal));
      assert.equal(error.code, "SNAPSHOT_CORRUPT");
      assert.match(error.message, new RegExp(Object.keys(change)[0] ?? "?"));
    }
  });

  it("takes a good config whose metadata was lost", async () => {
    const { store, archive } = setUp();
    await archive.save(snapshotOf("a"), CONDITIONAL, signal);
    spoil(store, { metadata: {} });
    const snapshot = await archive.latest(signal);
    assert.equal(snapshot.metadata, undefined);
    assert.deepEqual(Buffer.from(snapshot.config), snapshotOf("a").config);
  });
});
