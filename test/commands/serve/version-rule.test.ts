import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { systemClock } from "../../../src/runtime/clock.ts";
import { Stage } from "../../e2e/stage.ts";
import { kongVersion, snapshotOf, updateOf } from "../../fakes/config.ts";
import { FakeDataPlane } from "../../fakes/data-plane.ts";
import { ServeInProcess } from "./in-process.ts";

/** No other sleep is as long; the store is looked at a tenth earlier, at the earliest. */
const REFRESH_MS = 7_000;
const LOOK_MS = 6_300;
const STANDS_IN = "no snapshot for this Kong version, that of the nearest older one is used";

const hashOf = (name: string) => updateOf(name).configHash;

/** Serves 3.9.1, without a control plane, over a store that has 3.9.0 only. */
async function serveOverOlder(stage: Stage, more: Readonly<Record<string, string>> = {}) {
  await stage.save(snapshotOf("older", { kongVersion: kongVersion("3.9.0") }));
  const serve = new ServeInProcess(
    // Nothing listens there.
    stage.environment(1, {
      KONG_FALLBACK_LISTEN: "127.0.0.1:0",
      KONG_FALLBACK_REFRESH_INTERVAL: String(REFRESH_MS / 1_000),
      ...more,
    }),
  );
  const { port } = await serve.logged("fallback control plane listens");
  const plane = new FakeDataPlane({
    controlPlane: { host: "127.0.0.1", port: Number(port) },
    tls: stage.tls,
    clock: systemClock,
    version: "3.9.1",
  });
  return {
    serve,
    plane,
    async [Symbol.asyncDispose]() {
      await plane[Symbol.asyncDispose]();
      await serve[Symbol.asyncDispose]();
    },
  };
}

describe("serve for a version nothing is saved for", () => {
  it("serves that of the nearest older patch, says so, and takes its own once there is one, though older", async () => {
    await using stage = await Stage.open();
    await using scene = await serveOverOlder(stage);
    const { serve, plane } = scene;
    const said = await serve.logged(STANDS_IN);
    assert.deepEqual([said["kongVersion"], said["usedVersion"]], ["3.9.1", "3.9.0"]);
    await serve.clock.untilSleeping(LOOK_MS);
    await plane.connect();
    await serve.standStill(() => plane.hash === hashOf("older"));

    const hourBefore = {
      exportedAt: new Date("2026-11-21T11:00:00Z"),
      controlPlaneTimestamp: 1_795_216_400,
    };
    await stage.save(snapshotOf("own", hourBefore));
    await serve.clock.advance(LOOK_MS);
    await serve.standStill(() => plane.hash === hashOf("own"));
    assert.deepEqual(plane.applied, [hashOf("older"), hashOf("own")]);
    assert.equal(plane.connections, 1);
    assert.deepEqual(plane.violations, []);
    assert.equal(serve.log.filter(({ msg }) => msg === STANDS_IN).length, 1);
  });

  it("refuses the data plane with 503 where it must be exact", async () => {
    await using stage = await Stage.open();
    await using scene = await serveOverOlder(stage, { KONG_FALLBACK_VERSION_MATCH: "exact" });
    const { serve, plane } = scene;
    await serve.clock.untilSleeping(LOOK_MS);
    await assert.rejects(plane.connect(), { name: "HandshakeRefused", status: 503 });
    assert.equal(serve.log.filter(({ msg }) => msg === STANDS_IN).length, 0);
  });
});
