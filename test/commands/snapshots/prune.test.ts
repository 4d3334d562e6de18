import assert from "node:assert/strict";
import { utimes } from "node:fs/promises";
import { describe, it } from "vitest";
import { openConfiguredStore } from "../../../src/commands/storage.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { readSettings } from "../../../src/runtime/settings.ts";
import type { NewSnapshot } from "../../../src/snapshots/snapshot.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { FakeS3 } from "../../fakes/s3-server.ts";
import {
  DEAD_STORE,
  DEAD_STORE_URL,
  NEVER,
  SnapshotsStage,
  s3At,
  services,
  snapshotAt,
} from "./stage.ts";

/** 90 days and 10 minutes after the first snapshot. */
const LATER = new ManualClock(new Date("2027-02-19T12:10:00Z"));

/** Saved when it was exported, by the store's clock, too. */
async function saveThen(stage: SnapshotsStage, snapshot: NewSnapshot): Promise<string> {
  const id = await stage.save(snapshot);
  const { exportedAt } = snapshot.metadata;
  await utimes(stage.path("3.9.1", "history", `${id}.json.gz`), exportedAt, exportedAt);
  return id;
}

async function ids(stage: SnapshotsStage): Promise<readonly string[]> {
  return (await stage.archive().history.list(NEVER)).map(({ id }) => id);
}

describe("kong-fallback snapshots prune", () => {
  it("says what goes and why with --dry-run, and removes just that without", async () => {
    await using stage = await SnapshotsStage.open({ clock: LATER });
    const first = await saveThen(stage, snapshotAt(0, services("a")));
    const second = await saveThen(stage, snapshotAt(5, services("b")));
    const third = await saveThen(stage, snapshotAt(15, services("c")));
    const dry = await stage.run(["snapshots", "prune", "--dry-run"]);
    assert.equal(dry.status, 0);
    const lines = dry.stdout.split("\n").map((line) => line.replaceAll(/ {2,}/g, " | "));
    assert.ok(lines[2]?.startsWith(`${first} | 90 d | `), dry.stdout);
    assert.ok(lines[3]?.startsWith(`${second} | 90 d | `), dry.stdout);
    assert.match(lines[2] ?? "", / \| age$/);
    assert.equal(lines[4], "2 would be removed");
    assert.deepEqual(await ids(stage), [third, second, first]);

    const { status, stdout } = await stage.run(["snapshots", "prune"]);
    assert.equal(status, 0);
    assert.match(stdout, /^2 removed$/m);
    assert.deepEqual(await ids(stage), [third]);
    const again = await stage.run(["snapshots", "prune"]);
    assert.match(again.stdout, /nothing is beyond the limits/);
  });

  it("leaves what the store says is younger than its name", async () => {
    await using stage = await SnapshotsStage.open({ clock: LATER });
    const first = await stage.save(snapshotAt(0, services("a")));
    const second = await stage.save(snapshotAt(15, services("b")));
    const yesterday = new Date(LATER.now().getTime() - 86_400_000);
    await utimes(stage.path("3.9.1", "history", `${first}.json.gz`), yesterday, yesterday);
    const { stdout } = await stage.run(["snapshots", "prune"]);
    assert.match(stdout, /nothing is beyond the limits/);
    assert.deepEqual(await ids(stage), [second, first]);
  });

  it("gives machines the same", async () => {
    await using stage = await SnapshotsStage.open({ clock: LATER });
    const first = await saveThen(stage, snapshotAt(0, services("a")));
    await saveThen(stage, snapshotAt(15, services("b")));
    const { stdout } = await stage.run(["snapshots", "prune", "--dry-run", "--json"]);
    const [place] = JSON.parse(stdout);
    assert.equal(place.dryRun, true);
    assert.deepEqual(
      place.removals.map(({ id, reason }: Record<string, unknown>) => [id, reason]),
      [[first, "age"]],
    );
  });

  it("goes on where one cannot be removed, says which and why, and ends with 4", async () => {
    await using s3 = await FakeS3.start();
    const environment = {
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "s3://bucket/prefix",
      KONG_FALLBACK_HISTORY_MAX_COUNT: "1",
      ...s3At(s3.endpoint),
    };
    const settings = readSettings(environment);
    const [location] = settings.storages;
    assert.ok(location);
    await using store = await openConfiguredStore(location, { settings, clock: systemClock });
    await using stage = await SnapshotsStage.open({ environment, store });
    const first = await stage.save(snapshotAt(0, services("a")));
    await stage.save(snapshotAt(5, services("b")));
    const third = await stage.save(snapshotAt(15, services("c")));
    s3.fault = ({ method, url }) =>
      method === "DELETE" && url.includes(first)
        ? { kind: "error", status: 403, code: "AccessDenied" }
        : undefined;
    const { status, stdout } = await stage.run(["snapshots", "prune"]);
    assert.equal(status, 4);
    assert.match(stdout, new RegExp(`^${first}.*\\n {4}not removed: `, "m"));
    assert.match(stdout, /^1 removed, 1 not removed$/m);
    assert.deepEqual(await ids(stage), [third, first]);
    const json = await stage.run(["snapshots", "prune", "--json"]);
    assert.equal(json.status, 4);
    const [{ removals }] = JSON.parse(json.stdout);
    assert.deepEqual(
      removals.map(({ id, error }: { id: string; error?: { code: string } }) => [id, error?.code]),
      [[first, "STORE_DENIED"]],
    );
  });

  it("ends with 4 where a store does not answer, and prunes the others all the same", async () => {
    await using stage = await SnapshotsStage.open({ clock: LATER, environment: DEAD_STORE });
    await saveThen(stage, snapshotAt(0, services("a")));
    const kept = await saveThen(stage, snapshotAt(15, services("b")));
    const storage = `${DEAD_STORE_URL},file://${stage.directory}`;
    const { status, stdout } = await stage.run(["snapshots", "prune", "--storage", storage]);
    assert.equal(status, 4);
    assert.match(stdout, /^1 removed$/m);
    assert.deepEqual(await ids(stage), [kept]);
  });
});
