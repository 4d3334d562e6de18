import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { leaseKey } from "../../../src/snapshots/layout.ts";
import type { NewSnapshot } from "../../../src/snapshots/snapshot.ts";
import { NEWER, V391 } from "../../fakes/config.ts";
import { leaseIn } from "../../fakes/lease.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { NEVER, SnapshotsStage, services, snapshotAt } from "./stage.ts";

const CLOCK = new ManualClock(new Date("2026-11-21T13:00:00Z"));

/** `older` in the history, `newer` current, one hour ago, by an exporter that was stopped or still runs. */
async function stageWithTwo(state: "held" | "released" = "released") {
  const stage = await SnapshotsStage.open({ clock: CLOCK });
  const lease = leaseIn(stage.store, CLOCK);
  const held = await lease.take(7, undefined, NEVER);
  if (held !== undefined && state === "released") await lease.release(held, NEVER);
  const [older, newer] = [snapshotAt(0, services("a", "b")), snapshotAt(10, services("a"))];
  const [olderId, newerId] = [await stage.save(older), await stage.save(newer)];
  return { stage, older, newer, olderId, newerId };
}

async function current(stage: SnapshotsStage) {
  const { config, metadata } = await stage.archive().latest(NEVER);
  assert.ok(metadata);
  return { config: Buffer.from(config).toString(), metadata };
}

function text({ config }: NewSnapshot): string {
  return Buffer.from(config).toString();
}

describe("kong-fallback snapshots restore", () => {
  it("makes it current under a higher token, keeps what it replaced, and says what happens next", async () => {
    const { stage: opened, older, newer, olderId, newerId } = await stageWithTwo();
    await using stage = opened;
    const { status, stdout, stderr } = await stage.run(["snapshots", "restore", olderId, "--yes"]);
    assert.equal(status, 0, stderr);
    const { config, metadata } = await current(stage);
    assert.equal(config, text(older));
    assert.equal(metadata.fencingToken, 8);
    assert.equal(metadata.configHash, older.metadata.configHash);
    assert.equal(metadata.exporterId, `restored:${olderId}:over:${newerId.slice(-12)}`);
    assert.equal(metadata.exportedAt.getTime(), CLOCK.now().getTime());
    const kept = await stage.archive().history.read(newerId, NEVER);
    assert.equal(text(kept), text(newer));
    assert.match(stdout, /restored, with fencing token 8/);
    assert.ok(stdout.includes(`what it replaced is kept as ${newerId}`), stdout);
    assert.match(stdout, /stays current until the control plane has another config/);
    const listed = await stage.run(["snapshots", "list"]);
    assert.match(listed.stdout, /^20261121T130000\.000Z-\w+ +0 s .* restored +current$/m);
  });

  it("is not undone by an exporter that has the replaced config in memory, and is by a new one", async () => {
    const { stage: opened, older, newer, olderId } = await stageWithTwo();
    await using stage = opened;
    await stage.run(["snapshots", "restore", olderId, "--yes"]);
    const exporter = stage.archive();
    const again = { ...newer.metadata, fencingToken: 9 };
    const options = { conditional: true, provenance: NEWER };
    const old = await exporter.save({ ...newer, metadata: again }, options, NEVER);
    assert.equal(old.kind, "overruled");
    assert.equal((await current(stage)).config, text(older));
    const fresh = snapshotAt(11, services("c"), { fencingToken: 9 });
    const saved = await exporter.save(fresh, options, NEVER);
    assert.equal(saved.kind, "saved");
    assert.equal((await current(stage)).config, text(fresh));
  });

  it("gives the lease back, so that the exporters go on at once", async () => {
    const { stage: opened, olderId } = await stageWithTwo();
    await using stage = opened;
    await stage.run(["snapshots", "restore", olderId, "--yes"]);
    const lease = JSON.parse(await readFile(stage.path(leaseKey(V391)), "utf8"));
    assert.deepEqual([lease.state, lease.token, lease.hostname], ["released", 8, "workstation"]);
  });

  it("takes the lease from a holder with --take-over, and writes with a higher token than its", async () => {
    const { stage: opened, older, olderId } = await stageWithTwo("held");
    await using stage = opened;
    const argv = ["snapshots", "restore", olderId, "--yes", "--take-over"];
    const { status, stderr } = await stage.run(argv);
    assert.equal(status, 0, stderr);
    assert.equal((await current(stage)).metadata.fencingToken, 8);
    assert.equal((await current(stage)).config, text(older));
    assert.equal((await leaseIn(stage.store, CLOCK).read(NEVER))?.claim.kind, "free");
  });

  it("asks on a terminal, with a summary of the difference, and takes only yes", async () => {
    const { stage: opened, older, newer, olderId } = await stageWithTwo();
    await using stage = opened;
    const declined = await stage.run(["snapshots", "restore", olderId], { answer: "y" });
    assert.equal(declined.status, 2);
    assert.match(declined.stderr, /replaces what was taken 2026-11-21 12:10:00Z \(50 min ago\)/);
    assert.match(declined.stderr, /^ {2}services: 1 added$/m);
    assert.match(declined.stderr, /nothing was changed/);
    assert.equal((await current(stage)).config, text(newer));
    const accepted = await stage.run(["snapshots", "restore", olderId], { answer: "yes" });
    assert.equal(accepted.status, 0, accepted.stderr);
    assert.equal((await current(stage)).config, text(older));
  });

  it("refuses to write unasked where there is no terminal", async () => {
    const { stage: opened, newer, olderId } = await stageWithTwo();
    await using stage = opened;
    const { status, stderr } = await stage.run(["snapshots", "restore", olderId]);
    assert.equal(status, 2);
    assert.match(stderr, /no terminal to ask on .*\n.*--yes/);
    assert.equal((await current(stage)).config, text(newer));
  });

  it("releases a config that was held back", async () => {
    const { stage: opened } = await stageWithTwo();
    await using stage = opened;
    const shrunken = snapshotAt(20, services());
    const id = await stage.hold(shrunken, "services fell");
    const asked = await stage.run(["snapshots", "restore", id], { answer: "no" });
    assert.match(asked.stderr, /It was held back: services fell/);
    const { status, stdout } = await stage.run(["snapshots", "restore", id, "--yes"]);
    assert.equal(status, 0);
    assert.match(stdout, /It had been held back; now that it is current/);
    const { config, metadata } = await current(stage);
    assert.equal(config, text(shrunken));
    assert.equal(metadata.controlPlaneTimestamp, shrunken.metadata.controlPlaneTimestamp);
    const [newest] = await stage.archive().history.list(NEVER);
    assert.equal(newest?.held, false, "readers that fall back may take it");
  });

  it("writes nothing where it is current already", async () => {
    const { stage: opened, newerId } = await stageWithTwo();
    await using stage = opened;
    const { status, stdout } = await stage.run(["snapshots", "restore", newerId, "--yes"]);
    assert.equal(status, 0);
    assert.match(stdout, /already has this config/);
    assert.equal((await current(stage)).metadata.exporterId, "exporter-1");
  });

  it("replaces a current one that is damaged", async () => {
    const { stage: opened, older, olderId } = await stageWithTwo();
    await using stage = opened;
    await writeFile(stage.path("3.9.1", "config.json"), "damaged");
    const { status, stdout, stderr } = await stage.run(["snapshots", "restore", olderId, "--yes"]);
    assert.equal(status, 0, stderr);
    assert.doesNotMatch(stdout, /is kept as/);
    assert.equal((await current(stage)).config, text(older));
  });

  it("keeps what was copied there by hand before it replaces it", async () => {
    const { stage: opened, olderId } = await stageWithTwo();
    await using stage = opened;
    const byHand = snapshotAt(0, services("x"));
    const options = { metadata: {}, contentType: "application/json" };
    await stage.store.put("3.9.1/config.json", byHand.config, options, NEVER);
    const { stdout } = await stage.run(["snapshots", "restore", olderId, "--yes", "--json"]);
    const [{ replacedId }] = JSON.parse(stdout);
    assert.equal(text(await stage.archive().history.read(replacedId, NEVER)), text(byHand));
  });

  it("refuses to take over a Lease of Kubernetes before it asks anything", async () => {
    const { stage: opened, newer, olderId } = await stageWithTwo();
    await using stage = opened;
    const environment = { KONG_FALLBACK_ELECTION: "kubernetes" };
    const argv = ["snapshots", "restore", olderId, "--take-over"];
    const { status, stderr } = await stage.run(argv, { answer: "yes", environment });
    assert.equal(status, 2);
    assert.match(stderr, /not one in Kubernetes .*\n.*Scale the exporters down/);
    assert.doesNotMatch(stderr, /Type yes/);
    assert.equal((await current(stage)).config, text(newer));
  });

  it("refuses a damaged one, and current", async () => {
    const { stage: opened, newer, olderId } = await stageWithTwo();
    await using stage = opened;
    await writeFile(stage.path("3.9.1", "history", `${olderId}.json.gz`), "damaged");
    const damaged = await stage.run(["snapshots", "restore", olderId, "--yes"]);
    assert.equal(damaged.status, 3);
    const self = await stage.run(["snapshots", "restore", "current", "--yes"]);
    assert.equal(self.status, 2);
    assert.equal((await current(stage)).config, text(newer));
  });
});
