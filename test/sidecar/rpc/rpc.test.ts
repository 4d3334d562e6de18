import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "vitest";
import { kongVersion } from "../../fakes/config.ts";
import { FakeRpcDataPlane } from "../../fakes/data-plane-rpc.ts";
import { FakeRpcControlPlane } from "../../fakes/rpc-control-plane.ts";
import { ScriptedDialer, unreachable } from "../../fakes/scripted-dialer.ts";
import { clusterTls, tcpServer } from "../../source/harness.ts";
import { Stage } from "../stage.ts";
import { dialerTo, HELLO, type RpcPlane, RpcStage } from "./rpc-stage.ts";

describe("version 2 where the control plane does not answer", () => {
  it("is a stub within 4 s of the 5 that a data plane waits", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    await using stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
    controlPlane.meets = "silence";
    const asked = controlPlane.asked();
    const { answered } = await stage.knock();
    await asked;
    let isAnswered = false;
    void answered.then(() => {
      isAnswered = true;
    });
    await stage.clock.advance(3_999);
    assert.equal(isAnswered, false);
    await stage.clock.advance(1);
    await controlPlane.deserted();
    assert.deepEqual((await (await answered).greet()).result.rpc_capabilities, []);
  });

  it("is a stub where nothing answers, or not even TLS", async () => {
    await using nowhere = await RpcStage.open({ dialer: dialerTo({ host: "127.0.0.1", port: 1 }) });
    assert.deepEqual((await (await nowhere.connect()).greet()).result.rpc_capabilities, []);
    const connected: (() => void)[] = [];
    await using server = await tcpServer(() => connected.shift()?.());
    await using stage = await RpcStage.open({ dialer: dialerTo(server.address) });
    const asked = new Promise<void>((resolve) => connected.push(resolve));
    const { answered } = await stage.knock();
    await asked;
    await stage.clock.advance(4_000);
    assert.deepEqual((await (await answered).greet()).result.rpc_capabilities, []);
  });

  it("is a stub at once where the control plane is lost, and nobody asks it", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    await using stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
    stage.upstream.lost(unreachable());
    await (await stage.connect()).greet();
    assert.equal(controlPlane.sessions.length, 0);
  });

  it("forgets a data plane that does not wait for the answer", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    await using stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
    controlPlane.meets = "silence";
    for (const leave of ["destroy", "resetAndDestroy"] as const) {
      const asked = controlPlane.asked();
      const { tcp } = await stage.knock();
      await asked;
      tcp[leave]();
      await controlPlane.deserted();
    }
    await Promise.all(stage.served);
    assert.equal(stage.clock.sleepers, 0);
  });

  it("lets go of the control plane that answers just after the data plane has gone", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    let leave = (): void => {};
    await using stage = await RpcStage.open({
      dialer: (clock) => ({
        name: "late",
        async dial(request, signal) {
          const connection = await dialerTo(controlPlane.address)(clock).dial(request, signal);
          leave();
          if (!signal.aborted) await once(signal, "abort");
          return connection;
        },
      }),
    });
    const asked = controlPlane.asked();
    const { tcp } = await stage.knock();
    leave = () => tcp.destroy();
    await asked;
    await (await controlPlane.session()).ended;
    await Promise.all(stage.served);
  });

  it("keeps no timer of an attempt that has succeeded", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    await using stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
    await stage.connect();
    await stage.clock.advance(10_000);
    const { sleepers } = stage.clock;
    await stage.connect();
    await stage.clock.advance(0);
    // The silence of either side.
    assert.equal(stage.clock.sleepers - sleepers, 2);
  });

  it("lets a data plane of 3.10 take its config from version 1, in the same process", async () => {
    await using stage = await Stage.open({ behind: "none" });
    const version = "3.10.0";
    const { configHash } = await stage.shelve("a", { kongVersion: kongVersion(version) });
    const fallsBackToV1 = stage.newPlane({ version });
    const { nodeId } = fallsBackToV1;
    await using plane = new FakeRpcDataPlane({
      controlPlane: { host: "127.0.0.1", port: stage.sidecar.port },
      tls: clusterTls,
      clock: stage.clock,
      ...{ version, nodeId },
      fallsBackToV1,
    });
    await plane.connect();
    await fallsBackToV1.configured(configHash);
    await stage.pass(15_000);
    assert.equal(stage.counts.unserved, 0);
    assert.equal(plane.isConnected, true);
    assert.deepEqual(plane.violations, []);
  });
});

describe("a data plane on incremental sync, while no control plane is there", () => {
  it("is told of, counted and listed until it is gone", async () => {
    await using stage = await Stage.open({ behind: "none" });
    await stage.shelve("a");
    const plane = new FakeRpcDataPlane({
      controlPlane: { host: "127.0.0.1", port: stage.sidecar.port },
      ...{ tls: clusterTls, clock: stage.clock, nodeId: "node-1", hostname: "kong-0" },
    });
    await plane.connect();
    await stage.passUntil(() => stage.sidecar.unserved.length > 0);
    const { nodeId, hostname, kongVersion, err } = await stage.said("data plane gets no config");
    assert.deepEqual([nodeId, hostname, kongVersion], ["node-1", "kong-0", "3.9.1"]);
    assert.match(String(err), /incremental sync/);
    assert.equal(stage.counts.unserved, 1);
    const [listed] = stage.sidecar.unserved;
    assert.deepEqual([listed?.introduction.nodeId, listed?.state.kind], ["node-1", "unserved"]);
    await plane[Symbol.asyncDispose]();
    await stage.until(() => stage.sidecar.unserved.length === 0);
  });
});

describe("a data plane on a stub", () => {
  /** A stage whose control plane was live and is lost, and watched. */
  async function lost(random: () => number, isOnVersion1 = true) {
    const dialers: ScriptedDialer[] = [];
    const stage = await RpcStage.open({
      dialer: (clock) => {
        const dialer = new ScriptedDialer(clock);
        dialers.push(dialer);
        return dialer;
      },
      random,
      isOnVersion1,
    });
    const [dialer] = dialers;
    assert.ok(dialer);
    dialer.meets = unreachable();
    stage.upstream.lost(unreachable());
    const stop = new AbortController();
    const running = stage.upstream.run(stop.signal);
    running.catch(() => {});
    return {
      stage,
      dialer,
      async [Symbol.asyncDispose]() {
        stop.abort();
        await stage[Symbol.asyncDispose]();
      },
    };
  }

  async function onStub(stage: RpcStage): Promise<RpcPlane> {
    const plane = await stage.connect();
    await plane.greet();
    return plane;
  }

  async function untilLive({ upstream, clock }: RpcStage, ...planes: readonly RpcPlane[]) {
    while (upstream.state.kind !== "live") {
      await clock.advance(1_000);
      for (const plane of planes) assert.equal(await plane.isAnswered(), true);
    }
  }

  it("is sent away at a random moment after the control plane is back", async () => {
    const randoms = [0.5, 0.25, 0.75];
    await using lostOne = await lost(() => randoms.shift() ?? 1);
    const { stage, dialer } = lostOne;
    const planes = [await onStub(stage), await onStub(stage), await onStub(stage)];
    dialer.up();
    await untilLive(stage, ...planes);
    const lefts: (number | undefined)[] = [undefined, undefined, undefined];
    for (let seconds = 1; lefts.includes(undefined); seconds += 1) {
      await stage.clock.advance(1_000);
      for (const [i, plane] of planes.entries()) {
        if (lefts[i] === undefined && !(await plane.isAnswered())) lefts[i] = seconds;
      }
    }
    assert.deepEqual(lefts, [30, 15, 45]);
    await Promise.all(stage.served);
  });

  it("stays where the control plane is lost again before its moment, and goes the next time", async () => {
    await using lostOne = await lost(() => 0.5);
    const { stage, dialer } = lostOne;
    const plane = await onStub(stage);
    dialer.up();
    await untilLive(stage, plane);
    await stage.clock.advance(29_000);
    dialer.meets = unreachable();
    stage.upstream.lost(unreachable());
    await stage.clock.advance(1_000);
    assert.equal(await plane.isAnswered(), true);
    dialer.up();
    await untilLive(stage, plane);
    await stage.clock.advance(29_000);
    assert.equal(await plane.isAnswered(), true);
    await stage.clock.advance(1_000);
    await plane.ended;
  });

  it("is sent away after half a minute and a random moment where only its own attempt had failed", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    const dialer = dialerTo(controlPlane.address);
    await using stage = await RpcStage.open({ dialer, random: () => 0.25 });
    await stage.connect();
    assert.equal(stage.upstream.state.kind, "live");
    controlPlane.meets = "silence";
    const asked = controlPlane.asked();
    const { answered } = await stage.knock();
    await asked;
    await stage.clock.advance(4_000);
    const plane = await answered;
    await plane.greet();
    await stage.clock.advance(30_000);
    assert.equal(await plane.isAnswered(), true);
    controlPlane.meets = "success";
    await stage.clock.advance(14_999);
    assert.equal(await plane.isAnswered(), true);
    await stage.clock.advance(1);
    await plane.ended;
    await stage.connect();
    assert.equal(controlPlane.sessions.length, 2);
  });

  it("does not stay there, its release having failed by a bug: that ends the session", async () => {
    const bug = new TypeError("a bug");
    await using lostOne = await lost(() => {
      throw bug;
    });
    const { stage, dialer } = lostOne;
    const plane = await onStub(stage);
    const served = stage.served.splice(0);
    const failed = assert.rejects(Promise.all(served), (error) => error === bug);
    dialer.up();
    await untilLive(stage);
    await failed;
    await plane.ended;
  });

  it("that gets its config nowhere else is told of, and asks again as soon as the control plane answers", async () => {
    await using lostOne = await lost(() => 1 - Number.EPSILON, false);
    const { stage, dialer } = lostOne;
    const plane = await onStub(stage);
    await stage.clock.advance(9_999);
    assert.deepEqual(stage.unserved, []);
    await stage.clock.advance(1);
    const { kong_node_id: nodeId, kong_hostname: hostname } = JSON.parse(HELLO.toString())
      .params[0];
    assert.deepEqual(stage.unserved, [{ nodeId, hostname, version: "3.9.1" }]);
    await stage.clock.advance(30_000);
    assert.equal(await plane.isAnswered(), true);
    dialer.up();
    while (!stage.upstream.isAnswering) await stage.clock.advance(1_000);
    await stage.clock.advance(3_000);
    await plane.ended;
    assert.equal(stage.upstream.state.kind, "fallback", "it is not trusted yet");
    await Promise.all(stage.served);
    assert.deepEqual(stage.unserved, []);
    await stage.connect();
    assert.equal(dialer.open.length, 1, "it is relayed");
  });
});
