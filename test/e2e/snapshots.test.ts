import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, it } from "vitest";
import { Run, runOnce } from "./cli.ts";
import { captured, Stage } from "./stage.ts";

/** Secrets of the recorded config, as they stand in it. */
const SECRETS = ["alice-key", "topsecret", "4c750d73bf4301d1", "pbkdf2-sha512", "PRIVATE KEY"];

/** The recorded config, changed as by an administrator: other secrets, another port, a service less. */
function changedFrame(frame: Buffer): Buffer {
  const payload = JSON.parse(gunzipSync(frame).toString());
  const { config_table: table } = payload;
  const [first, ...services] = table.services;
  table.services = services;
  table.routes = table.routes.filter(({ service }: { service: string }) => service !== first.id);
  services[0].port = 18_201;
  table.keyauth_credentials[0].key = "canary-key";
  table.certificates[0].key = "canary-pem";
  payload.timestamp += 60;
  payload.config_hash = "1".repeat(32);
  return gzipSync(JSON.stringify(payload));
}

interface Listed {
  readonly id: string;
  readonly isCurrent: boolean;
}

/** Two configs saved by a real exporter, which was stopped then. */
async function savedTwo(stage: Stage) {
  const { frame, configTable } = captured("3.9.1", "rich");
  await using controlPlane = await stage.controlPlane({ config: frame });
  const environment = stage.environment(controlPlane.address.port);
  await using exporter = new Run(["export"], environment);
  await exporter.logged("snapshot saved");
  (await controlPlane.session()).sendConfig(changedFrame(frame));
  await exporter.logged("snapshot saved", 2);
  exporter.signal("SIGTERM");
  await exporter.ended();
  const { stdout } = await runOnce(["snapshots", "list", "--json"], environment);
  const [{ history }] = JSON.parse(stdout.toString()) as [{ history: readonly Listed[] }];
  const [newer, older] = history.map(({ id }) => id);
  assert.ok(newer !== undefined && older !== undefined);
  return { environment, configTable, newer, older };
}

function assertNoSecret(...texts: readonly (string | Buffer)[]): void {
  for (const secret of [...SECRETS, "canary"]) {
    for (const text of texts) assert.equal(text.includes(secret), false, secret);
  }
}

describe("kong-fallback snapshots", () => {
  it("lists, compares, verifies and restores what an exporter saved, and shows no secret", async () => {
    await using stage = await Stage.open();
    const { environment, configTable, newer, older } = await savedTwo(stage);
    for (const secret of SECRETS) assert.ok(configTable.includes(secret), secret);

    const diff = await runOnce(["snapshots", "diff", older, "current"], environment);
    assert.equal(diff.status, 1, diff.stderr);
    const text = diff.stdout.toString();
    assert.match(text, /^services: 1 removed, 1 changed$/m);
    assert.match(text, /^ {6}port: 80 -> 18201$/m);
    assert.match(
      text,
      /^keyauth_credentials: 1 changed\n {2}~ \(consumer .+\).*\n {6}key: \[changed\]$/m,
    );
    const json = await runOnce(["snapshots", "diff", older, newer, "--json"], environment);
    assert.equal(json.status, 1);

    const list = await runOnce(["snapshots", "list"], environment);
    const shown = await runOnce(["snapshots", "show", older], environment);
    const verified = await runOnce(["snapshots", "verify"], environment);
    assert.deepEqual([list.status, shown.status, verified.status], [0, 0, 0]);
    assertNoSecret(
      diff.stdout,
      diff.stderr,
      json.stdout,
      list.stdout,
      shown.stdout,
      verified.stdout,
    );

    const bytes = await runOnce(["snapshots", "show", older, "--config"], environment);
    assert.deepEqual(bytes.stdout, configTable);
    const path = stage.path("config.json");
    await writeFile(path, bytes.stdout);
    assert.equal((await runOnce(["snapshots", "diff", path, older], environment)).status, 0);

    const restored = await runOnce(["snapshots", "restore", older, "--yes"], environment);
    assert.equal(restored.status, 0, restored.stderr);
    assertNoSecret(restored.stdout, restored.stderr);
    const current = await runOnce(["snapshots", "show", "--config"], environment);
    assert.deepEqual(current.stdout, configTable);
  });

  it("does not ask where there is no terminal, and changes nothing", async () => {
    await using stage = await Stage.open();
    const { environment, older } = await savedTwo(stage);
    const before = await stage.saved();
    const { status, stderr } = await runOnce(["snapshots", "restore", older], environment);
    assert.equal(status, 2);
    assert.match(stderr, /services: 1 added, 1 changed/);
    assert.match(stderr, /give --yes/);
    assertNoSecret(stderr);
    assert.deepEqual(await stage.saved(), before);
  });
});

describe("kong-fallback snapshots restore beside an exporter that runs", () => {
  it("is refused without --take-over; with it, the exporter goes on and leaves it until there is a new config", {
    timeout: 60_000,
  }, async () => {
    await using stage = await Stage.open();
    const { frame, configTable } = captured("3.9.1", "rich");
    await using controlPlane = await stage.controlPlane({ config: frame });
    const environment = stage.environment(controlPlane.address.port, {
      KONG_FALLBACK_LEASE_TTL: "3",
    });
    await using exporter = new Run(["export"], environment);
    await exporter.logged("snapshot saved");
    controlPlane.change({ config: changedFrame(frame) });
    await exporter.logged("snapshot saved", 2);
    const listed = await runOnce(["snapshots", "list", "--json"], environment);
    const [{ history }] = JSON.parse(listed.stdout.toString()) as [{ history: readonly Listed[] }];
    const older = history[1]?.id ?? "";

    const refused = await runOnce(["snapshots", "restore", older, "--yes"], environment);
    assert.equal(refused.status, 2, refused.stderr);
    assert.match(refused.stderr, /RESTORE_LEASE_HELD/);
    const argv = ["snapshots", "restore", older, "--yes", "--take-over"];
    const restored = await runOnce(argv, environment);
    assert.equal(restored.status, 0, restored.stderr);
    await exporter.logged("lease acquired, this exporter writes", 2);
    await exporter.logged(
      "config not saved: an operator restored another one in its place, which stays until the control plane has a new one",
    );
    const current = await runOnce(["snapshots", "show", "--config"], environment);
    assert.deepEqual(current.stdout, configTable);

    const next = JSON.parse(gunzipSync(changedFrame(frame)).toString());
    next.config_hash = "2".repeat(32);
    next.config_table.services[0].port = 18_202;
    controlPlane.change({ config: gzipSync(JSON.stringify(next)) });
    await exporter.logged("control plane is asked anew for what it has now");
    await exporter.logged("snapshot saved", 3);
    exporter.signal("SIGTERM");
    await exporter.ended();
    const status = await runOnce(["status"], environment);
    assert.match(status.stdout.toString(), /"?lease +free, released/);
  });
});
