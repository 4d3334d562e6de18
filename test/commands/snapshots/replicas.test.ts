import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { leaseKey } from "../../../src/snapshots/layout.ts";
import type { NewSnapshot } from "../../../src/snapshots/snapshot.ts";
import { V391 } from "../../fakes/config.ts";
import {
  DEAD_STORE,
  DEAD_STORE_URL,
  NEVER,
  SnapshotsStage,
  services,
  snapshotAt,
} from "./stage.ts";

/** The same `snapshots` in two directories; `flags` name both, and `storage` what is to be put before them. */
async function pairOf(...snapshots: readonly NewSnapshot[]) {
  const environment = { ...DEAD_STORE, KONG_FALLBACK_ELECTION: "off" };
  const [a, b] = [
    await SnapshotsStage.open({ environment }),
    await SnapshotsStage.open({ environment }),
  ];
  const ids: string[] = [];
  for (const snapshot of snapshots) {
    ids.push(await a.save(snapshot));
    await b.save(snapshot);
  }
  const both = `file://${a.directory},file://${b.directory}`;
  return {
    a,
    b,
    ids,
    run: (argv: readonly string[], before = "") => a.run([...argv, "--storage", before + both]),
    async [Symbol.asyncDispose]() {
      await a[Symbol.asyncDispose]();
      await b[Symbol.asyncDispose]();
    },
  };
}

async function currentHash(stage: SnapshotsStage): Promise<string | undefined> {
  return (await stage.archive().latest(NEVER)).metadata?.configHash;
}

describe("snapshots over several stores", () => {
  it("restores in each, and leaves one that is dead to be told", async () => {
    const [older, newer] = [snapshotAt(0, services("a")), snapshotAt(1, services("b"))];
    await using pair = await pairOf(older, newer);
    const [id = ""] = pair.ids;
    const { status, stdout } = await pair.run(
      ["snapshots", "restore", id, "--yes"],
      `${DEAD_STORE_URL},`,
    );
    assert.equal(status, 4);
    assert.match(stdout, /^Kong 3\.9\.1 in s3:\/\/bucket\/prefix: not restored: /m);
    assert.equal(stdout.match(/: restored, with/g)?.length, 2);
    assert.equal(await currentHash(pair.a), older.metadata.configHash);
    assert.equal(await currentHash(pair.b), older.metadata.configHash);
    const again = await pair.run(["snapshots", "restore", id, "--yes"]);
    assert.equal(again.status, 0);
    assert.equal(again.stdout.match(/already has this config/g)?.length, 2);
    const lease = pair.a.store.get(leaseKey(V391), { maxBytes: 1_000 }, NEVER);
    await assert.rejects(lease, { code: "STORE_NOT_FOUND" }, "without an election there is none");
  });

  it("takes the newest for current, wherever it lies and whatever its token there", async () => {
    await using pair = await pairOf(snapshotAt(0, services("a")));
    await pair.a.save(snapshotAt(1, services("c"), { fencingToken: 9 }));
    await pair.b.save(snapshotAt(5, services("b"), { fencingToken: 2 }));
    const { stdout } = await pair.run(["snapshots", "show", "--config"]);
    assert.equal(JSON.parse(stdout).services[0].name, "b");
  });

  it("lists and verifies what answers, and says what does not", async () => {
    await using pair = await pairOf(snapshotAt(0, services("a")));
    const listed = await pair.run(["snapshots", "list"], `${DEAD_STORE_URL},`);
    assert.equal(listed.status, 0);
    assert.equal(listed.stdout.match(/ current$/gm)?.length, 2);
    assert.match(listed.stdout, /^Kong 3\.9\.1 in s3:\/\/bucket\/prefix\n {2}could not/m);
    const verified = await pair.run(["snapshots", "verify"], `${DEAD_STORE_URL},`);
    assert.equal(verified.status, 4);
    assert.match(verified.stdout, /^5 checked, 0 bad, 1 not read$/m);
    await writeFile(pair.b.path("3.9.1", "config.json"), "damaged");
    const damaged = await pair.run(["snapshots", "verify"], `${DEAD_STORE_URL},`);
    assert.equal(damaged.status, 3, "what is bad counts more than what could not be read");
    assert.match(damaged.stdout, /^5 checked, 1 bad, 1 not read$/m);
    const shown = await pair.run(["snapshots", "show"], `${DEAD_STORE_URL},`);
    assert.equal(shown.status, 0);
    assert.match(shown.stderr, /a store was passed over/);
    for (const { stdout, stderr } of [listed, verified, shown]) {
      assert.equal((stdout + stderr).includes("canary"), false);
    }
  });
});
