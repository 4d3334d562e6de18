import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, it } from "vitest";
import type { ClusterCertificate } from "../../src/kong/cluster-certificate.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { questioner } from "../../src/runtime/node-id.ts";
import type { NewSnapshot } from "../../src/snapshots/snapshot.ts";
import { clusterCertificate, sharedTls } from "../fakes/certificates.ts";
import { CLUSTER_1, CLUSTER_2 } from "../fakes/config.ts";
import { FakeControlPlane } from "../fakes/control-plane.ts";
import { leaseIn } from "../fakes/lease.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { FakeS3 } from "../fakes/s3-server.ts";
import { BINARY, CLOSE } from "../fakes/websocket-frames.ts";
import {
  DEAD_STORE,
  DEAD_STORE_URL,
  kongVersion,
  NEVER,
  ofCluster,
  SnapshotsStage,
  services,
  snapshotAt,
} from "./snapshots/stage.ts";

let pair: ClusterCertificate;
const resources: AsyncDisposable[] = [];

beforeAll(async () => {
  pair = await clusterCertificate();
});
afterAll(async () => {
  for (const resource of resources) await resource[Symbol.asyncDispose]();
});

/** As the control plane sends it. */
function frameOf({ config, metadata }: NewSnapshot): Uint8Array {
  const { configHash, controlPlaneTimestamp: timestamp } = metadata;
  return gzipSync(
    `{"type":"reconfigure","timestamp":${timestamp},"config_hash":"${configHash}","config_table":${Buffer.from(config).toString()}}`,
  );
}

/** A control plane that has `live`, and the settings by which it is reached. */
async function scene(live: NewSnapshot) {
  const controlPlane = await FakeControlPlane.listen({
    tls: await sharedTls(pair),
    config: frameOf(live),
  });
  resources.push(controlPlane);
  const environment = {
    KONG_CLUSTER_CONTROL_PLANE: `127.0.0.1:${controlPlane.address.port}`,
    KONG_CLUSTER_CERT: pair.cert,
    KONG_CLUSTER_CERT_KEY: pair.key.reveal(),
    KONG_FALLBACK_PROBE_TIMEOUT: "10",
  };
  return { controlPlane, environment };
}

async function compared(stage: SnapshotsStage) {
  const { status, stdout } = await stage.run(["status", "--json"]);
  const [{ stores }] = JSON.parse(stdout);
  return { status, comparison: stores[0].comparison };
}

/** The answer and what follows it, the details left out, on one line. */
function verdictOf(stdout: string): string {
  return stdout.slice(0, stdout.indexOf("\n\n")).replaceAll(/\s+/g, " ");
}

const ALONE = { KONG_CLUSTER_CONTROL_PLANE: "" };
const CLOCK = new ManualClock(new Date("2026-11-21T12:30:00Z"));

describe("the answer of kong-fallback status", () => {
  it("is yes, with what a new data plane starts with", async () => {
    await using stage = await SnapshotsStage.open({ environment: ALONE, clock: CLOCK });
    const saved = snapshotAt(0, services("a", "b"));
    await stage.save(saved);
    const { status, stdout } = await stage.run(["status"]);
    const hash = saved.metadata.configHash?.slice(0, 12);
    assert.equal(
      verdictOf(stdout),
      `yes: a new Kong 3.9.1 data plane starts with config ${hash}, 2 services, 0 routes, saved 30 min ago, from file://${stage.directory}`,
    );
    assert.equal(status, 0);
    assert.ok(!stdout.includes("\ufffd"), stdout);
  });

  it("says that the control plane has the same", async () => {
    const { environment } = await scene(snapshotAt(30, services("a")));
    await using stage = await SnapshotsStage.open({ environment });
    await stage.save(snapshotAt(0, services("a")));
    const { stdout } = await stage.run(["status"]);
    assert.match(verdictOf(stdout), /, the same as the control plane has now$/);
    assert.match(stdout, /^Kong 3\.9\.1 at the control plane 127\.0\.0\.1:\d+$/m);
  });

  it("is NO, with the reason and what to do, and tells of the control plane though the store is dead", async () => {
    const { environment } = await scene(snapshotAt(30, services("a", "b", "c")));
    await using stage = await SnapshotsStage.open({
      environment: { ...environment, ...DEAD_STORE },
    });
    const { status, stdout } = await stage.run(["status", "--storage", DEAD_STORE_URL]);
    assert.equal(status, 4);
    assert.match(
      verdictOf(stdout),
      /^NO: a new Kong 3\.9\.1 data plane would start empty: could not .* what to do: \S/,
    );
    assert.match(stdout, /^entities +services 3, /m);
    const { stdout: json } = await stage.run(["status", "--storage", DEAD_STORE_URL, "--json"]);
    const [{ verdict }] = JSON.parse(json);
    assert.equal(verdict.answer, "no");
  });

  it("goes by the version rule that readers go by", async () => {
    await using stage = await SnapshotsStage.open({ environment: ALONE });
    await stage.save(snapshotAt(0, services("a")));
    const patch = await stage.run(["status", "--kong-version", "3.9.2"]);
    assert.equal(patch.status, 0, patch.stdout);
    assert.match(
      verdictOf(patch.stdout),
      / but it was saved for Kong 3\.9\.1; nothing was for 3\.9\.2$/,
    );
    const exact = await stage.run(["status", "--kong-version", "3.9.2"], {
      environment: { KONG_FALLBACK_VERSION_MATCH: "exact" },
    });
    assert.equal(exact.status, 3);
    assert.match(verdictOf(exact.stdout), /^NO: .*there are some for 3\.9\.1 what to do: Set KONG/);
  });

  it("goes by what else readers demand", async () => {
    await using stage = await SnapshotsStage.open({ environment: ALONE });
    await stage.save(snapshotAt(0, services("a"), { rehearsed: false }));
    const environment = { KONG_FALLBACK_REQUIRE_REHEARSED: "on" };
    const { status, stdout } = await stage.run(["status"], { environment });
    assert.equal(status, 3);
    assert.match(verdictOf(stdout), /^NO: .* was not rehearsed/);
  });

  it("does not hang on one connection that breaks", async () => {
    await using s3 = await FakeS3.start();
    const { config } = snapshotAt(0, services("a"));
    const stored = { body: Buffer.from(config), metadata: {}, etag: '"1"' };
    s3.buckets.get("bucket")?.set("prefix/3.9.1/config.json", stored as never);
    let broken = false;
    s3.fault = ({ url }) => {
      if (broken || !url.includes("config.json")) return undefined;
      broken = true;
      return { kind: "drop" };
    };
    await using stage = await SnapshotsStage.open({
      environment: { ...ALONE, ...DEAD_STORE, AWS_CONFIG_STORAGE_ENDPOINT: s3.endpoint },
    });
    const { status, stdout } = await stage.run(["status", "--storage", "s3://bucket/prefix"]);
    assert.equal(status, 0, stdout);
    assert.ok(broken);
    assert.match(verdictOf(stdout), /^yes: .* 1 service, .* from s3:\/\/bucket\/prefix/);
  });

  it("is of the store that has the newest, and names those that have nothing, or something else", async () => {
    await using old = await SnapshotsStage.open({ environment: ALONE });
    await using stage = await SnapshotsStage.open({ environment: { ...ALONE, ...DEAD_STORE } });
    // By tokens, which tell nothing between stores, the old one would win.
    await old.save(snapshotAt(0, services("a"), { fencingToken: 9 }));
    await stage.save(snapshotAt(5, services("b")));
    const [newest, older] = [stage, old].map(({ directory }) => `file://${directory}`);
    const storage = `${DEAD_STORE_URL},${older},${newest}`;
    const { status, stdout } = await stage.run(["status", "--storage", storage]);
    assert.equal(status, 0);
    const verdict = verdictOf(stdout);
    assert.ok(verdict.includes(`ago, from ${newest} but`), verdict);
    assert.ok(verdict.includes(`but ${DEAD_STORE_URL} gives nothing: could not`), verdict);
    assert.ok(
      verdict.includes(`but ${older} has another config, of 2026-11-21 12:00:00Z`),
      verdict,
    );
  });

  it("says what else there is to know: the current one damaged, a newer one held back, another one live", async () => {
    const { environment } = await scene(snapshotAt(9, services("live")));
    await using stage = await SnapshotsStage.open({ environment, clock: CLOCK });
    const id = await stage.save(snapshotAt(0, services("a")));
    await stage.hold(snapshotAt(1, services()), "services fell");
    await writeFile(stage.path("3.9.1", "config.json"), "damaged");
    const { status, stdout } = await stage.run(["status"]);
    assert.equal(status, 0);
    const verdict = verdictOf(stdout);
    for (const caution of [
      `it comes from the history (${id}), for the current object cannot be used`,
      "a newer config is held back: services fell",
      "the control plane has another config by now",
    ]) {
      assert.ok(verdict.includes(`but ${caution}`), verdict);
    }
    const { stdout: json } = await stage.run(["status", "--json"]);
    const [{ verdict: told }] = JSON.parse(json);
    assert.deepEqual([told.answer, told.but.length], ["yes", 3]);
  });

  it("is one for each version, all of them first", async () => {
    const environment = { ...ALONE, KONG_VERSION: "3.8.1,3.9.1" };
    await using stage = await SnapshotsStage.open({ environment });
    await stage.save(snapshotAt(0, services("a")));
    const { stdout } = await stage.run(["status"]);
    assert.match(
      verdictOf(stdout),
      /^NO: a new Kong 3\.8\.1 data plane .* yes: a new Kong 3\.9\.1 data plane /,
    );
  });
});

describe("kong-fallback status", () => {
  it("says that what is saved is what the control plane has, though it made it anew, and leaves no row there", async () => {
    const { environment, controlPlane } = await scene(snapshotAt(30, services("a")));
    await using stage = await SnapshotsStage.open({ environment });
    await stage.save(snapshotAt(0, services("a")));
    assert.deepEqual(await compared(stage), { status: 0, comparison: { kind: "same" } });
    const session = await controlPlane.session();
    await session.ended();
    const query = new URL(session.request.url ?? "", "https://cp").searchParams;
    assert.equal(query.get("node_hostname"), "kong-fallback-question");
    assert.equal(query.get("node_id"), questioner("3.9.1").nodeId);
    assert.deepEqual(session.violations, []);
    // No ping, for which the control plane would list it, and a close frame, without which it would complain.
    assert.deepEqual(
      session.frames.map(({ opcode }) => opcode),
      [BINARY, CLOSE],
    );
  });

  it("says by how much it is behind, or ahead, by the control plane's clock", async () => {
    const { environment } = await scene(snapshotAt(5, services("a", "b")));
    await using stage = await SnapshotsStage.open({ environment });
    await stage.save(snapshotAt(0, services("a")));
    assert.deepEqual(await compared(stage), {
      status: 0,
      comparison: { kind: "behind", seconds: 300 },
    });
    await stage.save(snapshotAt(6, services("a", "c")));
    assert.deepEqual((await compared(stage)).comparison, { kind: "ahead", seconds: 60 });
  });

  it("says that what is saved is another cluster's, and that nothing else is", async () => {
    const { environment } = await scene(
      snapshotAt(5, { ...services("a"), ...ofCluster(CLUSTER_1) }),
    );
    await using stage = await SnapshotsStage.open({ environment });
    await stage.save(snapshotAt(0, services("a"), { clusterId: CLUSTER_2 }));
    assert.deepEqual(await compared(stage), {
      status: 3,
      comparison: { kind: "foreign", live: CLUSTER_1 },
    });
    const { stdout } = await stage.run(["status"]);
    assert.match(stdout, new RegExp(`^cluster +${CLUSTER_2}$`, "m"));
    const flat = stdout.replaceAll(/\s+/g, " ");
    assert.ok(flat.includes(`another cluster's: the control plane is of cluster ${CLUSTER_1}`));
    assert.match(
      verdictOf(stdout),
      /^NO: .* is another cluster's: .* what to do: Check the storage/,
    );
    await stage.save(snapshotAt(1, { ...services("b"), ...ofCluster(CLUSTER_1) }));
    assert.equal((await compared(stage)).comparison.kind, "behind");
  });

  it("tells people what is saved, held back, and who holds the lease", async () => {
    const { environment } = await scene(snapshotAt(5, services("a", "b")));
    await using stage = await SnapshotsStage.open({ environment });
    const saved = snapshotAt(0, services("a"), { fencingToken: 3 });
    await stage.save(saved);
    const held = await stage.hold(snapshotAt(1, services()), "services fell");
    await leaseIn(stage.store, systemClock).take(3, undefined, NEVER);
    const { status, stdout, stderr } = await stage.run(["status"]);
    assert.equal(status, 0, stderr);
    assert.match(stdout, new RegExp(`^Kong 3\\.9\\.1 in file://${stage.directory}$`, "m"));
    assert.match(stdout, /^saved +2026-11-21 12:00:00Z \(.* ago\), 73 B, fencing token 3$/m);
    assert.ok(stdout.includes(`config hash  ${saved.metadata.configHash}`), stdout);
    assert.match(stdout, /^entities +services 1, /m);
    assert.match(stdout, /^compared +behind the control plane by 300 s$/m);
    assert.match(stdout, new RegExp(`^held back +1, the newest ${held}: services fell$`, "m"));
    assert.match(
      stdout,
      /^lease +held by exporter-1 on host-1, token 3, renewed \d s ago by its clock$/m,
    );
    assert.ok(stdout.split("\n").every((line) => line.length <= 100));
  });

  it("says of a held config that a later one was saved", async () => {
    await using stage = await SnapshotsStage.open({
      environment: { KONG_CLUSTER_CONTROL_PLANE: "" },
    });
    await stage.save(snapshotAt(0, services("a")));
    const held = await stage.hold(snapshotAt(1, services()), "services fell");
    await stage.save(snapshotAt(2, services("b")));
    const { stdout } = await stage.run(["status"]);
    const flat = stdout.replaceAll(/\s+/g, " ");
    assert.ok(flat.includes(`the newest ${held}, older than what is saved: services fell`), stdout);
  });

  it("says why it does not know where the control plane is down, or not configured", async () => {
    const { controlPlane, environment } = await scene(snapshotAt(5, services("a")));
    await controlPlane.kill();
    const short = { ...environment, KONG_FALLBACK_PROBE_TIMEOUT: "0.2" };
    await using stage = await SnapshotsStage.open({ environment: short });
    await stage.save(snapshotAt(0, services("a")));
    const down = await compared(stage);
    assert.equal(down.status, 0);
    assert.equal(down.comparison.kind, "unknown");
    assert.match(down.comparison.reason, /ECONNREFUSED/);
    const unset = await stage.run(["status"], { environment: { KONG_CLUSTER_CONTROL_PLANE: "" } });
    assert.equal(unset.status, 0);
    assert.match(unset.stdout, /^compared +with nothing: no control plane is given$/m);
  });

  it("says which one readers get where the current one is damaged, and 3 where there is none", async () => {
    const environment = { KONG_CLUSTER_CONTROL_PLANE: "" };
    await using stage = await SnapshotsStage.open({ environment });
    const nothing = await stage.run(["status"]);
    assert.equal(nothing.status, 3);
    assert.match(nothing.stdout, /^saved +nothing usable: no snapshot for Kong 3\.9\.1/m);
    assert.match(nothing.stdout, /^try +Check the storage URL's prefix, /m);
    const id = await stage.save(snapshotAt(0, services("a")));
    await writeFile(stage.path("3.9.1", "config.json"), "damaged");
    const { status, stdout } = await stage.run(["status"]);
    assert.equal(status, 0);
    assert.ok(stdout.replaceAll(/\s+/g, " ").includes(`readers get ${id} instead`), stdout);
  });

  it("counts one healthy store as enough, and ends with 4 where none is and one does not answer", async () => {
    const environment = { KONG_CLUSTER_CONTROL_PLANE: "", ...DEAD_STORE };
    await using stage = await SnapshotsStage.open({ environment });
    const own = `file://${stage.directory}`;
    const nothing = await stage.run(["status", "--storage", `${own},${DEAD_STORE_URL}`]);
    assert.equal(nothing.status, 4, "the one that does not answer may have one");
    await stage.save(snapshotAt(0, services("a")));
    const both = await stage.run(["status", "--storage", `${DEAD_STORE_URL},${own}`]);
    assert.equal(both.status, 0);
    assert.match(both.stdout, /in s3:\/\/bucket\/prefix\nsaved +nothing usable/);
    assert.match(both.stdout, /^saved +2026-11-21/m);
    const none = await stage.run(["status", "--storage", DEAD_STORE_URL]);
    assert.equal(none.status, 4);
    for (const text of [both.stdout, both.stderr, none.stdout, none.stderr]) {
      assert.equal(text.includes("canary"), false);
    }
  });

  it("ends with 3 where the store answers, with an object that is too large", async () => {
    const environment = {
      KONG_CLUSTER_CONTROL_PLANE: "",
      KONG_FALLBACK_MAX_CONFIG_BYTES: "1048576",
    };
    await using stage = await SnapshotsStage.open({ environment });
    await stage.save(snapshotAt(0, services("a".repeat(2_000_000))));
    await rm(stage.path("3.9.1", "history"), { recursive: true });
    const { status, stdout } = await stage.run(["status", "--json"]);
    assert.equal(JSON.parse(stdout)[0].stores[0].error.code, "STORE_TOO_LARGE");
    assert.equal(status, 3);
  });

  it("ends with the worst of several versions", async () => {
    const environment = { KONG_CLUSTER_CONTROL_PLANE: "", KONG_VERSION: "3.8.1,3.9.1" };
    await using stage = await SnapshotsStage.open({ environment });
    await stage.save(snapshotAt(0, services("a")));
    assert.equal((await stage.run(["status"])).status, 3);
    await stage.save(snapshotAt(0, services("a"), { kongVersion: kongVersion("3.8.1") }));
    assert.equal((await stage.run(["status"])).status, 0);
  });
});
