import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { CLUSTER_1 } from "../../fakes/config.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { SnapshotsStage, services, snapshotAt } from "./stage.ts";

const CLOCK = new ManualClock(new Date("2026-11-21T12:30:00Z"));

describe("kong-fallback snapshots show", () => {
  it("shows all that is known about the current one", async () => {
    await using stage = await SnapshotsStage.open({ clock: CLOCK });
    await stage.save(snapshotAt(0, services("a")));
    const snapshot = snapshotAt(5, services("a", "b"), {
      hashes: { routes: "0".repeat(32) },
      clusterId: CLUSTER_1,
    });
    await stage.save(snapshot);
    const { status, stdout } = await stage.run(["snapshots", "show"]);
    assert.equal(status, 0);
    const facts = new Map(
      stdout
        .trimEnd()
        .split("\n")
        .map((line) => line.split(/ {2,}/) as [string, string]),
    );
    assert.equal(facts.get("snapshot"), "current");
    assert.equal(facts.get("taken"), "2026-11-21 12:05:00Z (25 min ago)");
    assert.equal(facts.get("made"), "2026-11-21 12:05:00Z by the control plane's clock");
    assert.equal(facts.get("entities"), "services 2");
    assert.equal(facts.get("config hash"), snapshot.metadata.configHash);
    assert.equal(facts.get("SHA-256"), snapshot.metadata.sha256);
    assert.equal(facts.get("cluster"), CLUSTER_1);
    assert.equal(facts.get("fencing token"), "1");
    assert.equal(facts.get("hash of routes"), "0".repeat(32));
  });

  it("shows one of the history, and why it was held back", async () => {
    await using stage = await SnapshotsStage.open({ clock: CLOCK });
    await stage.save(snapshotAt(0, services("a")));
    const id = await stage.hold(snapshotAt(1, services()), "empty");
    const text = await stage.run(["snapshots", "show", id]);
    assert.match(text.stdout, /^held back +empty$/m);
    const json = JSON.parse((await stage.run(["snapshots", "show", id, "--json"])).stdout);
    assert.equal(json.which, id);
    assert.equal(json.held, "empty");
    assert.equal(json.metadata.bytes, 39);
  });

  it("prints the exact bytes, current and of the history", async () => {
    await using stage = await SnapshotsStage.open();
    const [a, b] = [snapshotAt(0, services("a")), snapshotAt(1, services("b"))];
    const id = await stage.save(a);
    await stage.save(b);
    const current = await stage.run(["snapshots", "show", "--config"]);
    assert.equal(current.stdout, Buffer.from(b.config).toString());
    const older = await stage.run(["snapshots", "show", id, "--config"]);
    assert.equal(older.stdout, Buffer.from(a.config).toString());
    const both = await stage.run(["snapshots", "show", "--config", "--json"]);
    assert.equal(both.status, 2);
  });

  it("does not pass off the history for a current one that is damaged", async () => {
    await using stage = await SnapshotsStage.open();
    await stage.save(snapshotAt(0, services("a")));
    await writeFile(stage.path("3.9.1", "config.json"), "{");
    const { status, stdout, stderr } = await stage.run(["snapshots", "show"]);
    assert.equal(status, 3);
    assert.equal(stdout, "");
    assert.match(stderr, /SNAPSHOT_CORRUPT/);
  });

  it("says that there is a history where only the current one is gone", async () => {
    await using stage = await SnapshotsStage.open();
    await stage.save(snapshotAt(0, services("a")));
    await rm(stage.path("3.9.1", "config.json"));
    const { status, stderr } = await stage.run(["snapshots", "show"]);
    assert.equal(status, 3);
    assert.match(
      stderr,
      /the current snapshot for Kong 3\.9\.1 in file:.* is gone, its history is there \[/,
    );
    assert.match(stderr, /Restore one of those that kong-fallback snapshots list shows/);
  });

  it("names ids that are like one that does not exist", async () => {
    await using stage = await SnapshotsStage.open();
    const id = await stage.save(snapshotAt(0, services("a")));
    const { status, stderr } = await stage.run(["snapshots", "show", id.slice(0, 15)]);
    assert.equal(status, 3);
    assert.ok(stderr.includes(`Did you mean ${id}?`), stderr);
  });

  it("wants one version", async () => {
    await using stage = await SnapshotsStage.open();
    const environment = { KONG_VERSION: "3.8.1,3.9.1" };
    const { status, stderr } = await stage.run(["snapshots", "show"], { environment });
    assert.equal(status, 2);
    assert.match(stderr, /for one version, not for 3\.8\.1, 3\.9\.1/);
    assert.match(stderr, /--kong-version 3\.8\.1/);
  });
});
