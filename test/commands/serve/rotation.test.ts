import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { systemClock } from "../../../src/runtime/clock.ts";
import { frameOf, Stage } from "../../e2e/stage.ts";
import { clusterCertificate, sharedTls } from "../../fakes/certificates.ts";
import { snapshotOf, updateOf } from "../../fakes/config.ts";
import { FakeControlPlane } from "../../fakes/control-plane.ts";
import { FakeDataPlane } from "../../fakes/data-plane.ts";
import { ServeInProcess } from "./in-process.ts";

const LOOK_MS = 10_000;
/** No other sleep is as long; a data plane may be silent for longer. */
const RETRY_MS = 25_000;

const hashOf = (name: string) => updateOf(name).configHash ?? "";

describe("cluster certificates that are replaced on disk under a running serve", () => {
  it("let new data planes in and old ones stay, refuse the old certificate, and reach the control plane that has the new one", async () => {
    await using stage = await Stage.open();
    await stage.save(snapshotOf("saved"));
    const fresh = await clusterCertificate();
    const tls = await sharedTls(fresh);
    const live = frameOf("live", Math.floor(Date.now() / 1000));
    await using controlPlane = await FakeControlPlane.listen({ tls, config: live.frame });
    await using serve = new ServeInProcess(
      stage.environment(controlPlane.address.port, {
        KONG_FALLBACK_LISTEN: "127.0.0.1:0",
        KONG_FALLBACK_RECOVERY_TIME: "0",
        KONG_FALLBACK_RELEASE_TIME: "0",
        KONG_FALLBACK_RETRY_TIME: String(RETRY_MS / 1_000),
      }),
    );
    const { port } = await serve.logged("fallback control plane listens");
    const address = { host: "127.0.0.1", port: Number(port) };
    const common = { controlPlane: address, clock: systemClock };
    await serve.logged("control plane lost, new data planes are served from the snapshot");
    await serve.clock.untilSleeping(RETRY_MS);
    await using early = new FakeDataPlane({ ...common, tls: stage.tls });
    await early.connect();
    await early.configured(hashOf("saved"));

    await writeFile(stage.path("cluster.crt"), fresh.cert);
    await serve.clock.advance(LOOK_MS);
    await serve.logged("certificates cannot be read, those in use stay");
    await using meanwhile = new FakeDataPlane({ ...common, tls: stage.tls });
    await meanwhile.connect();

    await writeFile(stage.path("cluster.key"), fresh.key.reveal());
    await serve.clock.advance(LOOK_MS);
    await serve.logged("certificates were replaced, the new ones are in use");
    await using outdated = new FakeDataPlane({
      ...common,
      // It would take our new certificate, and shows its old one.
      tls: { ...stage.tls, ca: [stage.pair.cert, fresh.cert] },
    });
    await assert.rejects(outdated.connect(), { name: "HandshakeRefused" });
    await using late = new FakeDataPlane({ ...common, tls });
    await late.connect();
    await late.until(() => late.applied.length > 0);

    const planes = [early, meanwhile, late];
    await serve.clock.advance(RETRY_MS - 2 * LOOK_MS);
    await serve.standStill(() => planes.every(({ hash }) => hash === hashOf("live")));
    for (const plane of planes) {
      assert.equal(plane.connections, 1);
      assert.equal(plane.isConnected, true);
    }
    assert.equal(await serve.stop(), 143);
    assert.equal(serve.clock.sleepers, 0, "nothing is left behind");
  });
});
