import assert from "node:assert/strict";
import { once } from "node:events";
import https from "node:https";
import { connect as connectTcp } from "node:net";
import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, describe, it } from "vitest";
import { WebSocket } from "ws";
import { ListenError } from "../../src/core/listen-error.ts";
import type { ClusterTls } from "../../src/kong/cluster-tls.ts";
import {
  FallbackControlPlane,
  type FallbackControlPlaneOptions,
} from "../../src/sidecar/control-plane.ts";
import { Shelf } from "../../src/sidecar/shelf/shelf.ts";
import {
  certificateAuthority,
  clusterCertificate,
  pkiTls,
  sharedTls,
} from "../fakes/certificates.ts";
import { snapshotOf } from "../fakes/config.ts";
import { FakeDataPlane, type FakeDataPlaneOptions } from "../fakes/data-plane.ts";
import { HandshakeRefused } from "../fakes/data-plane-dial.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { PING } from "../fakes/websocket-frames.ts";
import { clusterTls, HASH, hybridSource, NO_HASH, NODE_ID } from "../source/harness.ts";

const T0 = 1_795_220_000;
const none = () => {};
const NO_METRICS = {
  ...{ upstream: none, served: none, resent: none, rejected: none, unserved: none },
  distrusted: none,
};

describe("a control plane of our own, with none behind it", () => {
  let clock: ManualClock;
  let log: RecordingLog;
  let shelf: Shelf;
  let controlPlane: FallbackControlPlane;
  let planes: FakeDataPlane[];

  beforeEach(async () => {
    clock = new ManualClock(new Date());
    log = new RecordingLog();
    shelf = new Shelf();
    planes = [];
    controlPlane = await listen(clusterTls);
  });
  afterEach(async () => {
    await controlPlane[Symbol.asyncDispose]();
    for (const plane of planes) await plane[Symbol.asyncDispose]();
    // Nothing is left asleep once Node has told of every connection's end.
    while (clock.sleepers > 0) await setImmediate();
  });

  function listen(
    tls: ClusterTls,
    changes: Partial<FallbackControlPlaneOptions> = {},
  ): Promise<FallbackControlPlane> {
    return FallbackControlPlane.listen({
      host: "127.0.0.1",
      port: 0,
      tls,
      limits: { maxConnections: 100, handshakesPerSecond: 100 },
      dialer: undefined,
      probeTarget: "",
      inquiry: { target: () => "", plugins: [] },
      timing: { retryMs: 0, reconnectMs: 0, recoveryMs: 0, releaseMs: 0, configWaitMs: 0 },
      maxPayloadBytes: 16_777_216,
      shelf,
      onVersion: () => {},
      remember: undefined,
      clock,
      random: () => 0,
      log,
      metrics: NO_METRICS,
      ...changes,
    });
  }

  async function connect(changes: Partial<FakeDataPlaneOptions> = {}): Promise<FakeDataPlane> {
    const plane = new FakeDataPlane({
      controlPlane: { host: "127.0.0.1", port: controlPlane.port },
      tls: clusterTls,
      clock,
      ...changes,
    });
    planes.push(plane);
    await plane.connect();
    return plane;
  }

  async function shelve(name: string, controlPlaneTimestamp = T0): Promise<string> {
    const snapshot = snapshotOf(name, { controlPlaneTimestamp });
    assert.ok(await shelf.offer(snapshot, "store"));
    return snapshot.metadata.configHash ?? "";
  }

  it("is in fallback for good, and says which data planes it has", async () => {
    const hash = await shelve("a");
    const plane = await connect({ nodeId: NODE_ID, hostname: "dp-0" });
    await plane.configured(hash);
    await plane.until(() => plane.pongs === 2);
    assert.equal(controlPlane.state.kind, "fallback");
    const [session, ...others] = controlPlane.planes;
    assert.ok(session);
    assert.deepEqual(others, []);
    const introduction = { nodeId: NODE_ID, hostname: "dp-0", version: "3.9.1" };
    assert.deepEqual(session.introduction, introduction);
    assert.deepEqual([session.state.kind, session.hash], ["fallback", hash]);
    assert.deepEqual([session.connectedAt, session.state.since], [clock.now(), clock.now()]);
    assert.deepEqual(plane.violations, []);
  });

  it("remembers the hash in each ping, of any length", async () => {
    await shelve("a");
    const plane = await connect({ behaviour: { neverPings: true } });
    for (const [text, hash] of [
      [NO_HASH, NO_HASH],
      [HASH, HASH],
      ["", NO_HASH],
      ["no hash at all", undefined],
    ] as const) {
      const { pongs } = plane;
      plane.send(PING, Buffer.from(text));
      await plane.until(() => plane.pongs > pongs);
      assert.equal(controlPlane.planes[0]?.hash, hash);
    }
  });

  it("pushes what comes onto the shelf to every data plane, and the newest to one that comes later", async () => {
    const first = await shelve("a");
    const early = [await connect(), await connect()];
    for (const plane of early) await plane.configured(first);
    const second = await shelve("b", T0 + 1);
    for (const plane of early) {
      await plane.configured(second);
      assert.equal(plane.received.length, 2);
    }
    const late = await connect();
    await late.configured(second);
    assert.equal(late.received.length, 1);
  });

  it("refuses data planes with 503 while the shelf is empty", async () => {
    const isBusy = (error: unknown) => error instanceof HandshakeRefused && error.status === 503;
    await assert.rejects(connect(), isBusy);
    const hash = await shelve("a");
    await (await connect()).configured(hash);
  });

  it("serves our own source", async () => {
    await shelve("a");
    const source = hybridSource({
      controlPlane: { host: "127.0.0.1", port: controlPlane.port },
      clock,
    });
    const kinds: string[] = [];
    for await (const event of source.watch(new AbortController().signal)) {
      kinds.push(event.kind);
      if (event.kind === "config") break;
    }
    assert.deepEqual(kinds, ["connected", "config"]);
  });

  it("forgets a data plane that goes away, whichever way", async () => {
    await shelve("a");
    for (const leave of ["close", "drop"] as const) {
      const plane = await connect();
      await plane.configured();
      plane[leave]();
      while (controlPlane.planes.length > 0) await setImmediate();
    }
    assert.equal(log.find("data plane disconnected").length, 2);
    assert.equal(log.find("warn").length, 0);
  });

  it("drops every data plane when it is closed, once and for all", async () => {
    await shelve("a");
    const connected = [await connect(), await connect({ behaviour: { silentAfterOpen: true } })];
    await Promise.all([controlPlane[Symbol.asyncDispose](), controlPlane[Symbol.asyncDispose]()]);
    await controlPlane[Symbol.asyncDispose]();
    for (const plane of connected) await plane.closed;
    assert.equal(controlPlane.planes.length, 0);
    await assert.rejects(connect(), { code: "ECONNREFUSED" });
  });

  it("can be closed while a connection hangs before TLS", async () => {
    const hanging = connectTcp(controlPlane.port, "127.0.0.1").on("error", () => {});
    await once(hanging, "connect");
    const closed = once(hanging, "close");
    await controlPlane[Symbol.asyncDispose]();
    await closed;
  });

  it("says which address it cannot listen on", async () => {
    const tls = await sharedTls(clusterCertificate());
    const { port } = controlPlane;
    await assert.rejects(
      listen(tls, { port }),
      (error) =>
        error instanceof ListenError &&
        error.code === "LISTEN_FAILED" &&
        error.message.includes(`cannot listen on 127.0.0.1:${port} for data planes: `) &&
        error.message.includes("EADDRINUSE"),
    );
  });

  it("shows and takes new certificates from the moment they are rotated", async () => {
    const hash = await shelve("a");
    const old = await connect();
    const tls = await sharedTls(clusterCertificate());
    controlPlane.rotate(tls);
    await assert.rejects(connect(), /self-signed certificate/);
    await (await connect({ tls })).configured(hash);
    assert.ok(old.isConnected);
  });

  it("answers 400 in mode pki to a certificate of another CA, and takes one of its own", async () => {
    const authority = await certificateAuthority();
    await controlPlane[Symbol.asyncDispose]();
    controlPlane = await listen(await pkiTls(authority.issue("cp.example"), authority.cert));
    await shelve("a");
    const as = async (pair: ReturnType<typeof clusterCertificate>) =>
      connect({ tls: await pkiTls(pair, authority.cert, "cp.example") });
    const isBad = (error: unknown) => error instanceof HandshakeRefused && error.status === 400;
    await assert.rejects(as((await certificateAuthority()).issue("dp")), isBad);
    await (await as(authority.issue("dp"))).configured();
  });

  it("offers a stub of the incremental protocol, and 404 to the probe of a 3.0 data plane", async () => {
    const options = {
      cert: clusterTls.cert,
      key: clusterTls.key.reveal(),
      ca: clusterTls.cert,
      servername: "kong_clustering",
    };
    const { port } = controlPlane;
    const rpc = new WebSocket(`wss://127.0.0.1:${port}/v2/outlet`, ["kong.meta.v1"], options);
    await once(rpc, "open");
    assert.equal(rpc.protocol, "kong.meta.v1");
    assert.equal(controlPlane.planes.length, 0);
    const closed = once(rpc, "close");
    rpc.close();
    await closed;
    const path = "/v1/wrpc";
    const probe = https.request({ ...options, method: "HEAD", host: "127.0.0.1", port, path });
    probe.end();
    const [response] = await once(probe, "response");
    assert.equal(response.statusCode, 404);
  });
});
