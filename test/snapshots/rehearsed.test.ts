/** What a snapshot says of its rehearsal, and what readers make of it. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { SnapshotError } from "../../src/snapshots/errors.ts";
import { StoreReader } from "../../src/snapshots/reader.ts";
import type { Key } from "../../src/store/port.ts";
import { kongVersion, snapshotOf, V391 } from "../fakes/config.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { archiveOn, CONDITIONAL, INSTEAD, KEY, optionsOn, signal } from "./stage.ts";

const LATER = 1_795_220_100;

function readerOf(store: MemoryStore, requireRehearsed: boolean, version = V391) {
  const log = new RecordingLog();
  const options = { ...optionsOn(store), kongVersion: version, match: "patch", log } as const;
  return { log, reader: new StoreReader({ ...options, requireRehearsed }) };
}

function rehearsedIn(store: MemoryStore, key: Key = KEY): string | undefined {
  return store.objects.get(key)?.metadata["rehearsed"];
}

async function saved(...rehearsals: readonly (boolean | undefined)[]) {
  const store = new MemoryStore();
  const archive = archiveOn(store);
  for (const [index, rehearsed] of rehearsals.entries()) {
    await archive.save(snapshotOf(`config ${index}`, { rehearsed }), CONDITIONAL, signal);
  }
  return { store, archive };
}

describe("the metadata of a snapshot", () => {
  it.each([true, false, undefined])("say whether it was rehearsed: %s", async (rehearsed) => {
    const { store, archive } = await saved(rehearsed);
    assert.equal(rehearsedIn(store), rehearsed === undefined ? undefined : String(rehearsed));
    assert.equal((await archive.latest(signal)).metadata?.rehearsed, rehearsed);
  });

  it("are not trusted where they say something else", async () => {
    const { store, archive } = await saved(true);
    const object = store.objects.get(KEY);
    assert.ok(object);
    for (const key of store.objects.keys()) if (key !== KEY) store.objects.delete(key);
    store.objects.set(KEY, { ...object, metadata: { ...object.metadata, rehearsed: "yes" } });
    await assert.rejects(archive.latest(signal), /the metadata "rehearsed" .* cannot be read/);
  });
});

describe("an unchanged config", () => {
  it("is written again once it was rehearsed, in the history, too, and then left alone", async () => {
    const { store, archive } = await saved(false);
    const { configHash } = snapshotOf("config 0").metadata;
    assert.equal(archive.holds(configHash, 0, true), false);
    assert.equal(archive.holds(configHash, 0, false), true);
    // It came by a control plane whose clock is behind.
    const again = snapshotOf("config 0", { rehearsed: true, controlPlaneTimestamp: 1 });
    assert.equal((await archive.save(again, CONDITIONAL, signal)).kind, "saved");
    assert.equal(rehearsedIn(store), "true");
    assert.equal(archive.holds(configHash, 0, true), true);
    const entries = await archive.history.list(signal);
    const flags = entries.map(({ id }) => rehearsedIn(store, `3.9.1/history/${id}.json.gz`));
    assert.deepEqual(flags, ["true", "false"]);
    for (const writer of [archive, archiveOn(store)]) {
      assert.equal((await writer.save(again, CONDITIONAL, signal)).kind, "unchanged");
    }
    assert.equal((await archive.history.list(signal)).length, 2);
  });

  it("stays rehearsed when somebody takes over who could not rehearse it", async () => {
    const { store } = await saved(true);
    const next = snapshotOf("config 0", { rehearsed: false, fencingToken: 2 });
    assert.equal((await archiveOn(store).save(next, CONDITIONAL, signal)).kind, "saved");
    assert.equal(rehearsedIn(store), "true");
    const other = snapshotOf("config 1", {
      rehearsed: false,
      fencingToken: 2,
      controlPlaneTimestamp: LATER,
    });
    await archiveOn(store).save(other, CONDITIONAL, signal);
    assert.equal(rehearsedIn(store), "false");
  });
});

describe("a reader that wants rehearsed snapshots", () => {
  it("takes the current one if it is", async () => {
    const { store } = await saved(false, true);
    const { reader, log } = readerOf(store, true);
    assert.deepEqual((await reader.latest(signal)).origin, { kind: "current" });
    assert.deepEqual(log.lines, []);
  });

  it("takes the newest rehearsed one of the history otherwise, loudly and only once", async () => {
    const { store } = await saved(true, true, false, undefined);
    const { reader, log } = readerOf(store, true);
    const found = await reader.refresh(undefined, signal);
    const config = Buffer.from(found?.snapshot.config ?? "");
    assert.deepEqual(config, snapshotOf("config 1").config);
    assert.equal(found?.snapshot.origin.kind, "history");
    const [error, ...others] = log.find("error");
    assert.equal(error?.message, INSTEAD);
    assert.ok(error?.fields["err"] instanceof SnapshotError);
    assert.equal(error.fields["err"].code, "SNAPSHOT_NOT_REHEARSED");
    assert.equal(await reader.refresh(found?.version, signal), undefined);
    assert.equal(others.length, 0);
    assert.equal(log.find("error").length, 1);
  });

  it("refuses where there is none, also one without metadata", async () => {
    const { store } = await saved(false, undefined);
    const refusal = async () => {
      try {
        await readerOf(store, true).reader.latest(signal);
      } catch (error) {
        assert.ok(error instanceof SnapshotError);
        assert.equal(error.exitStatus, 3);
        assert.match(error.hint ?? "", /KONG_FALLBACK_REHEARSAL_URL/);
        return error.code;
      }
      return "none";
    };
    assert.equal(await refusal(), "SNAPSHOT_NOT_REHEARSED");
    const object = store.objects.get(KEY);
    assert.ok(object);
    store.objects.set(KEY, { ...object, metadata: {} });
    assert.equal(await refusal(), "SNAPSHOT_NOT_REHEARSED");
    assert.ok(await readerOf(store, false).reader.latest(signal));
  });

  it("wants that of another version's, too", async () => {
    const { store } = await saved(true, false);
    const { reader } = readerOf(store, true, kongVersion("3.9.2"));
    const { config } = await reader.latest(signal);
    assert.deepEqual(Buffer.from(config), snapshotOf("config 0").config);
  });
});
