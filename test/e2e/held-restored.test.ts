import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { describe, it } from "vitest";
import { computeConfigHash } from "../../src/kong/config-hash.ts";
import { V391 } from "../fakes/config.ts";
import { Run, runOnce } from "./cli.ts";
import { Stage } from "./stage.ts";

const ALARM = "config held back: it lost too much of what the current one has, which stays";
const CLEARED = "no config is held back any more";

/** What a control plane sends that has so many services. */
function withServices(count: number, timestamp: number) {
  const services = Array.from({ length: count }, (_, place) => ({ name: `s${place}` }));
  const table = JSON.stringify({ _format_version: "3.0", _transform: false, services });
  const hash = computeConfigHash(Buffer.from(table), V391);
  const frame = gzipSync(
    `{"type":"reconfigure","timestamp":${timestamp},"config_hash":"${hash}","config_table":${table}}`,
  );
  return { table, hash, frame };
}

/** The log line that says it was. */
function saved({ hash }: { readonly hash: string | undefined }) {
  return (line: Readonly<Record<string, unknown>>) =>
    line["msg"] === "snapshot saved" && line["configHash"] === hash;
}

interface Listed {
  readonly id: string;
  readonly held: boolean;
}

const LARGE = withServices(30, 1_795_220_000);
const SMALL = withServices(3, 1_795_220_100);

/** An exporter that saved the large config, and holds back the small one. */
async function holding(stage: Stage) {
  const controlPlane = await stage.controlPlane({ config: LARGE.frame });
  const environment = stage.environment(controlPlane.address.port, {
    KONG_FALLBACK_LEASE_TTL: "3",
    KONG_FALLBACK_STATUS_LISTEN: "127.0.0.1:0",
  });
  const exporter = new Run(["export"], environment);
  const { port } = await exporter.logged("status server listens");
  await exporter.logged(saved(LARGE));
  const session = await controlPlane.session();
  session.sendConfig(SMALL.frame);
  const alarm = await exporter.logged(ALARM);
  assert.match(String(alarm["reasons"]), /services fell from 30 to 3/);
  const current = async () => (await stage.saved()).toString().trimEnd();
  const history = async () => {
    const { stdout } = await runOnce(["snapshots", "list", "--json"], environment);
    const [{ history: listed }] = JSON.parse(stdout.toString()) as [{ history: readonly Listed[] }];
    return listed;
  };
  /** As the metric tells it. */
  const held = async () => {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return /^kong_fallback_config_held\{[^}]*\} (\d)$/m.exec(text)?.[1];
  };
  const count = (message: string) => exporter.log.filter((line) => line["msg"] === message).length;
  return {
    environment,
    exporter,
    session,
    current,
    history,
    held,
    count,
    async [Symbol.asyncDispose]() {
      await exporter[Symbol.asyncDispose]();
      await controlPlane[Symbol.asyncDispose]();
    },
  };
}

/** The id of the only one held back, once it is in the history. */
async function heldId(history: () => Promise<readonly Listed[]>): Promise<string> {
  for (;;) {
    const ids = (await history()).filter(({ held }) => held).map(({ id }) => id);
    assert.ok(ids.length <= 1);
    // The alarm is raised first.
    if (ids[0] !== undefined) return ids[0];
  }
}

describe("a config that the guard holds back", () => {
  it("is current once an operator restores it beside the exporter, which then saves as ever", async () => {
    await using stage = await Stage.open();
    await using scene = await holding(stage);
    const { environment, exporter, session, current, history, held, count } = scene;
    const id = await heldId(history);
    assert.match(id, /\.held$/);
    assert.equal(await current(), LARGE.table);
    assert.equal(await held(), "1");

    const argv = ["snapshots", "restore", id, "--take-over", "--yes", "--json"];
    const restored = await runOnce(argv, environment);
    assert.equal(restored.status, 0, restored.stderr);
    const [outcome] = JSON.parse(restored.stdout.toString()) as [{ fencingToken: number }];
    // It has its lease back, and writes the same again, under a token of its own.
    const { fencingToken } = await exporter.logged(saved(SMALL));
    assert.ok(Number(fencingToken) > outcome.fencingToken);
    assert.equal(count(CLEARED), 1);
    assert.equal(await current(), SMALL.table);
    assert.equal(await held(), "0");

    const next = withServices(4, 1_795_220_200);
    session.sendConfig(next.frame);
    await exporter.logged(saved(next));
    assert.equal(await current(), next.table);
    assert.equal(await held(), "0");
    assert.equal(count(ALARM), 1);
    exporter.signal("SIGTERM");
    assert.equal(await exporter.ended(), 143);
  });

  it("is forgotten once the control plane sends a good one again", async () => {
    await using stage = await Stage.open();
    await using scene = await holding(stage);
    const { exporter, session, current, history, held, count } = scene;
    const id = await heldId(history);
    const good = withServices(31, 1_795_220_200);
    session.sendConfig(good.frame);
    await exporter.logged(saved(good));
    assert.equal(count(CLEARED), 1);
    assert.equal(await current(), good.table);
    assert.equal(await held(), "0");
    assert.equal(count(ALARM), 1);
    // It can still be looked at.
    assert.equal(await heldId(history), id);
    exporter.signal("SIGTERM");
    assert.equal(await exporter.ended(), 143);
  });
});
