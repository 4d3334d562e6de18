import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { roles } from "../../fakes/seals.ts";
import { SnapshotsStage, services, snapshotAt } from "./stage.ts";

const CONTROL_PLANE = { KONG_CLUSTER_CONTROL_PLANE: "" };
const HELD = "lost too much";

/** A store with a, then b, and c held back; and the settings of whoever reads it, or writes it. */
async function setUp() {
  const { exporter, verify, pem, age } = await roles();
  const stage = await SnapshotsStage.open({ environment: CONTROL_PLANE, seal: exporter });
  const a = await stage.save(snapshotAt(0, services("canary-a"), { entities: { services: 1 } }));
  const b = await stage.save(
    snapshotAt(1, services("canary-b", "more"), { entities: { services: 2 } }),
  );
  const c = await stage.hold(snapshotAt(2, services(), { entities: {} }), HELD);
  const verifying = { KONG_FALLBACK_VERIFY_KEYS: pem.public };
  const reading = { ...verifying, KONG_FALLBACK_AGE_IDENTITIES: age.identity.reveal() };
  const writing = {
    ...reading,
    KONG_FALLBACK_SIGNING_KEY: pem.private,
    KONG_FALLBACK_AGE_RECIPIENTS: age.recipient,
  };
  const current = stage.path("3.9.1", "config.json");
  return { stage, a, b, c, keyId: verify.id, verifying, reading, writing, current };
}

describe("snapshots of a sealed store", () => {
  it("lists by the metadata, without any identity", async () => {
    const { stage, keyId, verifying } = await setUp();
    await using _ = stage;
    const { status, stdout } = await stage.run(["snapshots", "list"], { environment: verifying });
    assert.equal(status, 0);
    const flat = stdout.replaceAll(/\s+/g, " ");
    for (const count of [1, 2]) {
      const seen = `services ${count}, routes 0, plugins 0, consumers 0, upstreams 0; signed by ${keyId}, sealed`;
      assert.ok(flat.includes(seen), stdout);
    }
    assert.ok(flat.includes(`held back: ${HELD}`), stdout);
    const json = await stage.run(["snapshots", "list", "--json"], { environment: verifying });
    const [place] = JSON.parse(json.stdout);
    assert.deepEqual(place.current.entities, { services: 2 });
    assert.equal(place.current.seal.signedBy, keyId);
    assert.equal(place.current.seal.verified, true);
    assert.match(place.current.seal.sealedFor, /^age1/);
    assert.equal(place.newerId, null);
    assert.equal(json.stdout.includes("canary"), false);
  });

  it("tells its status without any identity", async () => {
    const { stage, keyId, verifying } = await setUp();
    await using _ = stage;
    const { status, stdout } = await stage.run(["status"], { environment: verifying });
    assert.equal(status, 0);
    assert.match(stdout, new RegExp(`^seal +signed by ${keyId}, sealed$`, "m"));
    assert.match(stdout, /^entities +services 2, /m);
    assert.ok(stdout.includes(HELD), stdout);
    assert.doesNotMatch(stdout, /attention/);
  });

  it("does not vouch for signatures without a key to verify them", async () => {
    const { stage, keyId } = await setUp();
    await using _ = stage;
    const { stdout } = await stage.run(["status"]);
    assert.match(stdout, new RegExp(`^seal +signed by ${keyId} \\(not verified\\), sealed$`, "m"));
    const json = await stage.run(["status", "--json"]);
    assert.equal(JSON.parse(json.stdout)[0].stores[0].seal.verified, false);
  });

  it("shows and compares with an identity only, and says which setting is missing", async () => {
    const { stage, a, b, verifying, reading, current } = await setUp();
    await using _ = stage;
    for (const action of [["show"], ["show", a], ["show", "--config"], ["diff", a, b]]) {
      const blind = await stage.run(["snapshots", ...action], { environment: verifying });
      assert.equal(blind.status, 3, blind.stderr);
      assert.match(blind.stderr, /KONG_FALLBACK_AGE_IDENTITIES/);
      assert.equal(blind.stdout, "");
    }
    const shown = await stage.run(["snapshots", "show"], { environment: reading });
    assert.match(shown.stdout, /^seal +signed by [0-9a-f]{16}, sealed$/m);
    const bytes = await stage.run(["snapshots", "show", "--config"], { environment: reading });
    assert.ok(bytes.stdout.includes("canary-b"));
    const diff = await stage.run(["snapshots", "diff", a, b], { environment: reading });
    assert.match(diff.stdout, /services: 2 added, 1 removed/);
    const same = await stage.run(["snapshots", "diff", "current", current], {
      environment: reading,
    });
    assert.equal(same.status, 0, same.stderr);
  });

  it("verifies what it can open, and tells the rest from what is bad", async () => {
    const { stage, b, verifying, reading } = await setUp();
    await using _ = stage;
    const good = await stage.run(["snapshots", "verify"], { environment: reading });
    assert.match(good.stdout, /4 checked, 0 bad, 0 not read/);
    assert.equal(good.status, 0);
    const blind = await stage.run(["snapshots", "verify"], { environment: verifying });
    assert.match(blind.stdout, /4 checked, 0 bad, 4 not read/);
    const why =
      / {4}it is encrypted for one recipient, and KONG_FALLBACK_AGE_IDENTITIES is not set\n/g;
    assert.equal(blind.stdout.match(why)?.length, 4, blind.stdout);
    assert.equal(blind.status, 4);
    const path = stage.path("3.9.1", "history", `${b}.json.gz`);
    const body = await readFile(path);
    body[body.length - 1] = (body[body.length - 1] ?? 0) ^ 1;
    await writeFile(path, body);
    const bad = await stage.run(["snapshots", "verify"], { environment: reading });
    assert.match(bad.stdout, /4 checked, 1 bad, 0 not read/);
    assert.equal(bad.status, 3);
  });

  it("refuses to restore what readers would refuse, before anything is written", async () => {
    const { stage, a, reading, writing, current } = await setUp();
    await using _ = stage;
    const before = await readFile(current);
    const { KONG_FALLBACK_AGE_RECIPIENTS: __, ...unsealed } = writing;
    for (const [environment, setting] of [
      [reading, "KONG_FALLBACK_SIGNING_KEY"],
      [unsealed, "KONG_FALLBACK_AGE_RECIPIENTS"],
    ] as const) {
      const argv = ["snapshots", "restore", a, "--yes", "--take-over"];
      const refused = await stage.run(argv, { environment });
      assert.equal(refused.status, 2);
      assert.ok(refused.stderr.includes(`${setting}: is not set`), refused.stderr);
      assert.deepEqual(await readFile(current), before);
    }
  });

  it("signs and seals anew what it restores", async () => {
    const { stage, a, reading, writing, current } = await setUp();
    await using _ = stage;
    const environment = { ...writing, KONG_FALLBACK_ELECTION: "off" };
    const restored = await stage.run(["snapshots", "restore", a, "--yes"], { environment });
    assert.equal(restored.status, 0, restored.stderr);
    assert.equal((await readFile(current)).includes("canary"), false);
    const argv = ["import", "--force", "--to", "-"];
    const imported = await stage.run(argv, { environment: reading });
    assert.equal(imported.status, 0, imported.stderr);
    assert.ok(imported.stdout.includes("canary-a"));
  });

  it("shows that an old one was put back in the place of the current one", async () => {
    const { stage, b, reading } = await setUp();
    await using _ = stage;
    await stage.putBack(snapshotAt(0, services("canary-a"), { entities: { services: 1 } }));
    const list = await stage.run(["snapshots", "list"], { environment: reading });
    assert.ok(list.stdout.includes(`older than ${b}`), list.stdout);
    const status = await stage.run(["status"], { environment: reading });
    assert.match(
      status.stdout.replaceAll(/\s+/g, " "),
      new RegExp(`attention it is older than ${b}`),
    );
  });
});

describe("import from a sealed store", () => {
  it("takes the newest good one where the current one is forged, and fails where none is", async () => {
    const { stage, reading, current } = await setUp();
    await using _ = stage;
    await writeFile(current, JSON.stringify({ _format_version: "3.0", services: [] }));
    const argv = ["import", "--force", "--to", "-"];
    const imported = await stage.run(argv, { environment: reading });
    assert.equal(imported.status, 0, imported.stderr);
    assert.ok(imported.stdout.includes("canary-b"));
    assert.match(imported.stderr, /the newest good one of the history is used instead/);
    const other = await roles();
    const wrong = { ...reading, KONG_FALLBACK_VERIFY_KEYS: other.pem.public };
    const refused = await stage.run(argv, { environment: wrong });
    assert.equal(refused.status, 3);
    assert.equal(refused.stdout, "");
  });
});

describe("export where signatures are demanded", () => {
  it("does not start without the key to sign with", async () => {
    const { stage, verifying } = await setUp();
    await using _ = stage;
    const environment = {
      ...verifying,
      KONG_CLUSTER_CONTROL_PLANE: "127.0.0.1:9",
      KONG_CLUSTER_CERT: "unused",
      KONG_CLUSTER_CERT_KEY: "unused",
    };
    const { status, stderr } = await stage.run(["export"], { environment });
    assert.equal(status, 2);
    assert.match(stderr, /KONG_FALLBACK_SIGNING_KEY: is not set/);
  });
});
