import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "vitest";
import { CLUSTER_1, CLUSTER_2 } from "../../fakes/config.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { kongVersion, SnapshotsStage, services, snapshotAt } from "./stage.ts";

/** Half an hour after the first snapshot. */
const CLOCK = new ManualClock(new Date("2026-11-21T12:30:00Z"));

describe("kong-fallback snapshots list", () => {
  it("shows the newest first, what is current, and why one was held back, within 100 columns", async () => {
    await using stage = await SnapshotsStage.open({ clock: CLOCK });
    const exporterId = "0f0e0d0c-0b0a-4999-8888-777766665555";
    const first = await stage.save(snapshotAt(0, services("a"), { exporterId }));
    const second = await stage.save(snapshotAt(10, services("a", "b"), { fencingToken: 2 }));
    const reason = "services fell from 2 to 0 (-100 %, allowed 50 %)";
    const held = await stage.hold(snapshotAt(20, services()), reason);
    const { status, stdout, stderr } = await stage.run(["snapshots", "list"]);
    assert.equal(status, 0, stderr);
    assert.equal(stderr, "");
    const lines = stdout.trimEnd().split("\n");
    assert.ok(
      lines.every((line) => line.length <= 100),
      stdout,
    );
    assert.deepEqual(
      lines.map((line) => line.trim().replaceAll(/ {2,}/g, " | ")),
      [
        `Kong 3.9.1 in file://${stage.directory}`,
        "ID (time-hash) | AGE | SIZE | TOKEN | EXPORTER | STATE",
        `${held} | 10 min | 39 B | 1 | exporter | held`,
        "services 0, routes 0, plugins 0, consumers 0, upstreams 0",
        `held back: ${reason}`,
        `${second} | 20 min | 108 B | 2 | exporter | current`,
        "services 2, routes 0, plugins 0, consumers 0, upstreams 0",
        `${first} | 30 min | 73 B | 1 | 0f0e0d0c`,
        "services 1, routes 0, plugins 0, consumers 0, upstreams 0",
      ],
    );
  });

  it("says whose config is current, and which of the history are of another cluster", async () => {
    await using stage = await SnapshotsStage.open({ clock: CLOCK });
    await stage.save(snapshotAt(0, services("old")));
    await stage.save(snapshotAt(1, services("a"), { clusterId: CLUSTER_1 }));
    // Another one takes its place.
    await rm(join(stage.directory, "3.9.1", "config.json"));
    await stage.save(snapshotAt(2, services("b"), { clusterId: CLUSTER_2 }));
    const { stdout } = await stage.run(["snapshots", "list"]);
    const [title, ...lines] = stdout.split("\n");
    assert.ok(title?.endsWith(`, of cluster ${CLUSTER_2}`), title);
    const named = lines.filter((line) => line.includes("of cluster"));
    assert.deepEqual(
      named.map((line) => line.trim()),
      [`of cluster ${CLUSTER_1}`],
    );
  });

  it("gives machines the same and more", async () => {
    await using stage = await SnapshotsStage.open({ clock: CLOCK });
    const id = await stage.save(snapshotAt(0, services("a")));
    const heldId = await stage.hold(snapshotAt(1, services()), "empty");
    const { stdout } = await stage.run(["snapshots", "list", "--json"]);
    const [place] = JSON.parse(stdout);
    assert.equal(place.kongVersion, "3.9.1");
    assert.equal(place.current.metadata.fencingToken, 1);
    assert.equal(place.olderCount, 0);
    const [held, current] = place.history;
    assert.deepEqual(
      [held.id, held.held, held.heldBecause, held.isCurrent],
      [heldId, true, "empty", false],
    );
    assert.deepEqual([current.id, current.held, current.isCurrent], [id, false, true]);
    assert.deepEqual(current.entities, { services: 1 });
    assert.equal(current.metadata.exportedAt, "2026-11-21T12:00:00.000Z");
  });

  it("reads the newest 20, and all on request", async () => {
    await using stage = await SnapshotsStage.open({ clock: CLOCK });
    const ids: string[] = [];
    for (let minute = 0; minute < 22; minute += 1) {
      ids.push(await stage.save(snapshotAt(minute, services(`s${minute}`))));
    }
    const shown = (text: string) => ids.filter((id) => text.includes(id));
    const some = await stage.run(["snapshots", "list"]);
    assert.deepEqual(shown(some.stdout), ids.slice(2));
    assert.match(some.stdout, /^and 2 older: --all lists them$/m);
    const all = await stage.run(["snapshots", "list", "--all"]);
    assert.deepEqual(shown(all.stdout), ids);
    assert.doesNotMatch(all.stdout, /older/);
  });

  it("lists what is left where the current object is damaged, and says so", async () => {
    await using stage = await SnapshotsStage.open({ clock: CLOCK });
    const id = await stage.save(snapshotAt(0, services("a")));
    await writeFile(stage.path("3.9.1", "config.json"), "{");
    const { status, stdout } = await stage.run(["snapshots", "list"]);
    assert.equal(status, 0);
    assert.match(stdout, /^current +unusable\n {4}it .*\n {4}try: /m);
    assert.match(stdout, new RegExp(`^${id}.* exporter$`, "m"));
  });

  it("lists a current config that was copied there by hand", async () => {
    await using stage = await SnapshotsStage.open({ clock: CLOCK });
    await stage.save(snapshotAt(0, services("a")));
    await stage.store.put(
      "3.9.1/config.json",
      snapshotAt(0, services("a", "b")).config,
      { metadata: {}, contentType: "application/json" },
      new AbortController().signal,
    );
    const { stdout } = await stage.run(["snapshots", "list"]);
    assert.match(stdout, /^current +108 B +by hand +current$/m);
  });

  it("takes the versions from the settings, from a flag, or from the store", async () => {
    await using stage = await SnapshotsStage.open({ clock: CLOCK });
    await stage.save(snapshotAt(0, services("a")));
    await stage.save(snapshotAt(0, services("a"), { kongVersion: kongVersion("3.8.1") }));
    const titles = (text: string) => text.match(/^Kong \S+/gm);
    const one = await stage.run(["snapshots", "list", "--kong-version", "3.8.1"]);
    assert.deepEqual(titles(one.stdout), ["Kong 3.8.1"]);
    const all = await stage.run(["snapshots", "list", "--all-versions"]);
    assert.deepEqual(titles(all.stdout), ["Kong 3.9.1", "Kong 3.8.1"]);
    const none = { KONG_VERSION: "" };
    const found = await stage.run(["snapshots", "list", "--all-versions"], { environment: none });
    assert.deepEqual(titles(found.stdout), ["Kong 3.8.1", "Kong 3.9.1"]);
    const unset = await stage.run(["snapshots", "list"], { environment: none });
    assert.equal(unset.status, 2);
    assert.match(unset.stderr, /KONG_VERSION: is not set/);
  });

  it("says what there is where nothing is saved for the version", async () => {
    await using stage = await SnapshotsStage.open({ clock: CLOCK });
    await stage.save(snapshotAt(0, services("a")));
    const { status, stdout, stderr } = await stage.run([
      "snapshots",
      "list",
      "--kong-version",
      "3.7.1",
    ]);
    assert.equal(status, 3);
    assert.equal(stdout, "");
    assert.match(stderr, /no snapshot for Kong 3\.7\.1 .*there are some for 3\.9\.1/);
  });
});
