import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { V391 } from "../../fakes/config.ts";
import {
  DEAD_STORE,
  DEAD_STORE_URL,
  kongVersion,
  NEVER,
  SnapshotsStage,
  services,
  snapshotAt,
} from "./stage.ts";

interface Finding {
  readonly kongVersion: string;
  readonly object: string;
  readonly result: string;
  readonly code?: string;
}

async function verify(stage: SnapshotsStage, ...flags: readonly string[]) {
  const { status, stdout } = await stage.run(["snapshots", "verify", "--json", ...flags]);
  const findings = JSON.parse(stdout) as readonly Finding[];
  return { status, results: findings.map(({ object, result, code }) => [object, result, code]) };
}

describe("kong-fallback snapshots verify", () => {
  it("finds good what is good", async () => {
    await using stage = await SnapshotsStage.open();
    const first = await stage.save(snapshotAt(0, services("a")));
    const second = await stage.save(snapshotAt(1, services("b")));
    const held = await stage.hold(snapshotAt(2, services()), "empty");
    const { status, results } = await verify(stage);
    assert.equal(status, 0);
    assert.deepEqual(results, [
      ["current", "good", undefined],
      [held, "good", undefined],
      [second, "good", undefined],
      [first, "good", undefined],
    ]);
    const { stdout } = await stage.run(["snapshots", "verify"]);
    assert.match(stdout, /^4 checked, 0 bad, 0 not read$/m);
  });

  it("finds a damaged one wherever it lies, and ends with 3", async () => {
    await using stage = await SnapshotsStage.open();
    const id = await stage.save(snapshotAt(0, services("a")));
    await stage.save(snapshotAt(1, services("b")));
    await writeFile(stage.path("3.9.1", "history", `${id}.json.gz`), "damaged");
    const damaged = await verify(stage);
    assert.equal(damaged.status, 3);
    assert.deepEqual(damaged.results.at(-1), [id, "bad", "SNAPSHOT_CORRUPT"]);
    const { status, stdout } = await stage.run(["snapshots", "verify"]);
    assert.equal(status, 3);
    assert.match(stdout, /3 checked, 1 bad/);

    await rm(stage.path("3.9.1", "config.json"));
    const missing = await verify(stage);
    assert.deepEqual(missing.results[0], ["current", "bad", "SNAPSHOT_MISSING"]);
    const told = await stage.run(["snapshots", "verify"]);
    assert.match(told.stdout.replaceAll(/\s+/g, " "), /is gone, its history is there/);
  });

  it("finds a hash that was right once and is not that of the bytes", async () => {
    await using stage = await SnapshotsStage.open();
    await stage.save(snapshotAt(0, services("a"), { hashMatch: "true" }));
    const { status, results } = await verify(stage);
    assert.equal(status, 3);
    assert.deepEqual(results[0], ["current", "bad", "SNAPSHOT_CORRUPT"]);
  });

  it("tells what it could not check: no metadata, or a store that does not answer", async () => {
    await using stage = await SnapshotsStage.open();
    const options = { metadata: {}, contentType: "application/json" };
    await stage.store.put("3.9.1/config.json", snapshotAt(0, {}).config, options, NEVER);
    const bare = await verify(stage);
    assert.deepEqual(bare, { status: 0, results: [["current", "unchecked", undefined]] });

    const flags = ["--storage", DEAD_STORE_URL];
    const dead = await stage.run(["snapshots", "verify", ...flags], { environment: DEAD_STORE });
    assert.equal(dead.status, 4, dead.stderr);
    assert.match(dead.stdout, /1 checked, 0 bad, 1 not read/);
    assert.equal(dead.stdout.includes("canary"), false);
  });

  it("looks into what is saved with --deep, warns, and ends with 0 all the same", async () => {
    await using stage = await SnapshotsStage.open();
    const wrong = Array.from({ length: 30 }, (_, place) => ({ id: `r${place}`, service: "gone" }));
    const keyauth = { id: "k1", key: "canary", consumer: "gone" };
    const old = await stage.save(
      snapshotAt(0, { routes: wrong, keyauth_credentials: [keyauth], plugins: [{ name: "mine" }] }),
    );
    await stage.save(snapshotAt(1, services("a")));
    assert.equal((await verify(stage)).results.at(-1)?.[1], "good", "not without --deep");

    const deep = await verify(stage, "--deep");
    assert.equal(deep.status, 0);
    assert.deepEqual(deep.results.slice(0, 1), [["current", "good", undefined]]);
    assert.deepEqual(deep.results.at(-1), [old, "warned", undefined]);
    const { stdout: json } = await stage.run(["snapshots", "verify", "--deep", "--json"]);
    const found = (JSON.parse(json) as readonly { readonly config: readonly unknown[] }[]).at(-1);
    assert.equal(found?.config.length, 32);
    const { stdout, status } = await stage.run(["snapshots", "verify", "--deep"]);
    assert.equal(status, 0);
    assert.match(stdout, /^ {4}route \(id r0\): its service gone does not exist$/m);
    assert.match(stdout, /^ {4}and 12 more: --json lists them all$/m);
    assert.match(stdout, /^3 checked, 0 bad, 1 with warnings, 0 not read$/m);
    assert.equal(stdout.includes("canary"), false);

    const environment = { KONG_PLUGINS: "bundled,mine" };
    const known = await stage.run(["snapshots", "verify", "--deep"], { environment });
    assert.equal(stdout.includes("KONG_PLUGINS"), true);
    assert.equal(known.stdout.includes("KONG_PLUGINS"), false);
  });

  it("leaves bad what is bad, however deep", async () => {
    await using stage = await SnapshotsStage.open();
    const routes = [{ id: "r", service: "gone" }];
    await stage.save(snapshotAt(0, { routes }, { hashMatch: "true" }));
    const { status, results } = await verify(stage, "--deep");
    assert.equal(status, 3);
    assert.deepEqual(results[0], ["current", "bad", "SNAPSHOT_CORRUPT"]);
  });

  it("covers every version on request", async () => {
    await using stage = await SnapshotsStage.open();
    await stage.save(snapshotAt(0, services("a")));
    await stage.save(snapshotAt(0, services("a"), { kongVersion: kongVersion("3.4.2") }));
    const { stdout } = await stage.run(["snapshots", "verify", "--all-versions", "--json"]);
    const findings = JSON.parse(stdout) as readonly Finding[];
    const versions = new Set(findings.map((finding) => finding.kongVersion));
    assert.deepEqual([...versions], [V391, "3.4.2"]);
  });
});
