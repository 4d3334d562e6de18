import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { describe, it } from "vitest";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { SnapshotsStage, services, snapshotAt } from "./stage.ts";

const CLOCK = new ManualClock(new Date("2026-11-21T12:30:00Z"));
const CONSUMER = "faaea0db-2951-49b4-a18c-066d2cde3573";
const OTHER = "1ee61774-b0b8-4cad-8c2f-2e88301e6f79";

describe("kong-fallback snapshots diff", () => {
  it("tells people what differs, and ends with 1", async () => {
    await using stage = await SnapshotsStage.open({ clock: CLOCK });
    const before = await stage.save(
      snapshotAt(0, {
        services: [
          { id: "1", name: "kept", port: 80, tags: ["a"] },
          { id: "2", name: "gone" },
        ],
        consumers: [{ id: CONSUMER, username: "alice" }],
        keyauth_credentials: [{ id: OTHER, consumer: CONSUMER, key: "canary-1" }],
      }),
    );
    await stage.save(
      snapshotAt(10, {
        services: [{ id: "1", name: "kept", port: 8080, tags: null }],
        consumers: [{ id: CONSUMER, username: "alice" }],
        keyauth_credentials: [{ id: OTHER, consumer: CONSUMER, key: "canary-2" }],
      }),
    );
    const { status, stdout, stderr } = await stage.run(["snapshots", "diff", before, "current"]);
    assert.equal(status, 1);
    assert.equal(
      stdout,
      `- ${before}, taken 2026-11-21 12:00:00Z (30 min ago)
+ current, taken 2026-11-21 12:10:00Z (20 min ago)

keyauth_credentials: 1 changed
  ~ (consumer alice)  ${OTHER}
      key: [changed]

services: 1 removed, 1 changed
  - gone  2
  ~ kept  1
      port: 80 -> 8080
      tags: ["a"] -> null
`,
    );
    const json = await stage.run(["snapshots", "diff", before, "current", "--json"]);
    assert.equal(json.status, 1);
    const { kinds } = JSON.parse(json.stdout);
    assert.deepEqual(kinds[0].changed[0].fields, [{ field: "key", secret: "[changed]" }]);
    for (const text of [stdout, stderr, json.stdout, json.stderr]) {
      assert.equal(text.includes("canary"), false);
    }
  });

  it("ends with 0 where nothing differs", async () => {
    await using stage = await SnapshotsStage.open({ clock: CLOCK });
    const id = await stage.save(snapshotAt(0, services("a")));
    const text = await stage.run(["snapshots", "diff", id, "current"]);
    assert.equal(text.status, 0);
    assert.match(text.stdout, /no difference/);
    const json = await stage.run(["snapshots", "diff", id, "current", "--json"]);
    assert.equal(json.status, 0);
    assert.deepEqual(JSON.parse(json.stdout).kinds, []);
  });

  it("takes files, as Kong takes them and as they lie in the history", async () => {
    await using stage = await SnapshotsStage.open({ clock: CLOCK });
    const { config } = snapshotAt(0, services("a"));
    await stage.save(snapshotAt(0, services("a")));
    const [plain, packed] = [stage.path("kong.json"), stage.path("kong.json.gz")];
    await writeFile(plain, snapshotAt(0, services("a", "b")).config);
    await writeFile(packed, gzipSync(config));
    assert.equal((await stage.run(["snapshots", "diff", packed, "current"])).status, 0);
    const { status, stdout } = await stage.run(["snapshots", "diff", "current", plain]);
    assert.equal(status, 1);
    assert.match(stdout, /^services: 1 added\n {2}\+ b {2}id-b$/m);
  });

  it("refuses a file that is no configuration without quoting it", async () => {
    await using stage = await SnapshotsStage.open({ clock: CLOCK });
    await stage.save(snapshotAt(0, services("a")));
    const path = stage.path("notes.txt");
    await writeFile(path, '{"key":"canary"');
    const { status, stderr } = await stage.run(["snapshots", "diff", "current", path]);
    assert.equal(status, 3);
    assert.match(stderr, /notes\.txt is not a Kong configuration/);
    assert.equal(stderr.includes("canary"), false);
  });

  it("says that there is neither such a snapshot nor such a file", async () => {
    await using stage = await SnapshotsStage.open({ clock: CLOCK });
    await stage.save(snapshotAt(0, services("a")));
    const { status, stderr } = await stage.run(["snapshots", "diff", "current", "./nothing.json"]);
    assert.equal(status, 3);
    assert.match(stderr, /there is no snapshot "\.\/nothing\.json"/);
  });

  it("shows no control character of a name to the terminal", async () => {
    await using stage = await SnapshotsStage.open({ clock: CLOCK });
    const before = await stage.save(snapshotAt(0, services("a")));
    await stage.save(snapshotAt(1, services("a", "\u001b[2Jb\u202e")));
    const { stdout } = await stage.run(["snapshots", "diff", before, "current"]);
    assert.equal(/[\p{Cc}\p{Cf}]/u.test(stdout.replaceAll("\n", "")), false);
    assert.match(stdout, /\+ \ufffd\[2Jb\ufffd/);
  });
});
