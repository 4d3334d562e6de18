import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { NEVER, SnapshotsStage, services, snapshotAt } from "./stage.ts";

/** 90 days and 10 minutes after the first snapshot. */
const LATER = new ManualClock(new Date("2027-02-19T12:10:00Z"));

async function ids(stage: SnapshotsStage): Promise<readonly string[]> {
  return (await stage.archive().history.list(NEVER)).map(({ id }) => id);
}

describe("kong-fallback snapshots prune", () => {
  it("says what goes and why with --dry-run, and removes just that without", async () => {
    await using stage = await SnapshotsStage.open({ clock: LATER });
    const first = await stage.save(snapshotAt(0, services("a")));
    const second = await stage.save(snapshotAt(5, services("b")));
    const third = await stage.save(snapshotAt(15, services("c")));
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

  it("gives machines the same", async () => {
    await using stage = await SnapshotsStage.open({ clock: LATER });
    const first = await stage.save(snapshotAt(0, services("a")));
    await stage.save(snapshotAt(15, services("b")));
    const { stdout } = await stage.run(["snapshots", "prune", "--dry-run", "--json"]);
    const [place] = JSON.parse(stdout);
    assert.equal(place.dryRun, true);
    assert.deepEqual(
      place.removals.map(({ id, reason }: Record<string, unknown>) => [id, reason]),
      [[first, "age"]],
    );
  });
});
