import assert from "node:assert/strict";
import { once } from "node:events";
import https from "node:https";
import { connect as connectTcp } from "node:net";
import { afterEach, beforeEach, describe, it } from "vitest";
import { type ClientOptions, WebSocket } from "ws";
import { ListenError } from "../../src/core/listen-error.ts";
import type { ClusterTls } from "../../src/kong/cluster-tls.ts";
import { FallbackControlPlane } from "../../src/sidecar/control-plane.ts";
import {
  certificateAuthority,
  clusterCertificate,
  pkiTls,
  sharedTls,
} from "../fakes/certificates.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { capture, clusterTls, hybridSource, NO_HASH, NODE_ID } from "../source/harness.ts";

const FRAME = capture("3.9.1/rich.reconfigure.bin");
const SMALL = capture("3.9.1/small.reconfigure.bin");
const BASIC_INFO = capture("3.9.1/basic_info.json");
const HASH = "3b5d5c3712955042212316173ccf37be";
const QUERY = `node_id=${NODE_ID}&node_hostname=dp-0&node_version=3.9.1`;

/** The types of ws lack a name it passes on to Node. */
type TlsOptions = ClientOptions & { readonly servername?: string };

describe("a control plane of our own", () => {
  let clock: ManualClock;
  let log: RecordingLog;
  let controlPlane: FallbackControlPlane;

  beforeEach(async () => {
    clock = new ManualClock(new Date());
    log = new RecordingLog();
    controlPlane = await listen(clusterTls);
  });
  afterEach(() => controlPlane[Symbol.asyncDispose]());

  function listen(tls: ClusterTls): Promise<FallbackControlPlane> {
    return FallbackControlPlane.listen({ host: "127.0.0.1", port: 0, tls, clock, log });
  }

  /** A data plane, with what it received. */
  async function connect(changes: TlsOptions = {}, pathAndQuery = `/v1/outlet?${QUERY}`) {
    const options: TlsOptions = {
      cert: clusterTls.cert,
      key: clusterTls.key.reveal(),
      ca: clusterTls.cert,
      servername: "kong_clustering",
      perMessageDeflate: false,
      ...changes,
    };
    const webSocket = new WebSocket(`wss://127.0.0.1:${controlPlane.port}${pathAndQuery}`, options);
    const messages: { readonly data: Buffer; readonly isBinary: boolean }[] = [];
    webSocket.on("message", (data: Buffer, isBinary) => messages.push({ data, isBinary }));
    await once(webSocket, "open");
    const received = async (count: number) => {
      while (messages.length < count) await once(webSocket, "message");
      return messages;
    };
    return { webSocket, received, closed: once(webSocket, "close") };
  }

  it("sends a data plane that has introduced itself the frame unchanged, as one binary message", async () => {
    controlPlane.publish(FRAME);
    const plane = await connect();
    plane.webSocket.send(BASIC_INFO);
    assert.deepEqual(await plane.received(1), [{ data: FRAME, isBinary: true }]);
    assert.deepEqual(controlPlane.planes, [
      { nodeId: NODE_ID, hostname: "dp-0", version: "3.9.1", hash: undefined },
    ]);
  });

  it("answers each ping with an empty pong and remembers the hash in it", async () => {
    const plane = await connect();
    plane.webSocket.send(BASIC_INFO);
    for (const hash of [NO_HASH, HASH]) {
      const pong = once(plane.webSocket, "pong");
      plane.webSocket.ping(hash);
      assert.equal((await pong)[0].length, 0);
      assert.equal(controlPlane.planes[0]?.hash, hash);
    }
    const pong = once(plane.webSocket, "pong");
    plane.webSocket.ping("no hash at all");
    await pong;
    assert.equal(controlPlane.planes[0]?.hash, undefined);
  });

  it("pushes what is published to every data plane, and the newest to one that comes later", async () => {
    const planes = [await connect(), await connect()];
    for (const { webSocket } of planes) {
      const pong = once(webSocket, "pong");
      webSocket.send(BASIC_INFO);
      webSocket.ping(NO_HASH);
      await pong;
    }
    controlPlane.publish(SMALL);
    controlPlane.publish(FRAME);
    for (const plane of planes) {
      const messages = await plane.received(2);
      assert.deepEqual(
        messages.map(({ data }) => data),
        [SMALL, FRAME],
      );
    }
    const late = await connect();
    late.webSocket.send(BASIC_INFO);
    assert.deepEqual((await late.received(1))[0]?.data, FRAME);
  });

  it("serves our own source", async () => {
    controlPlane.publish(FRAME);
    const source = hybridSource({
      controlPlane: { host: "127.0.0.1", port: controlPlane.port },
      savedHash: HASH,
    });
    const kinds: string[] = [];
    for await (const event of source.watch(new AbortController().signal)) {
      kinds.push(event.kind);
      if (event.kind === "config") break;
    }
    assert.deepEqual(kinds, ["connected", "config"]);
  });

  it("drops a data plane that does not introduce itself within 5 s", async () => {
    const plane = await connect();
    await clock.untilSleeping(5_000);
    await clock.advance(5_000);
    assert.equal((await plane.closed)[0], 1006);
    assert.equal(controlPlane.planes.length, 0);
  });

  it("closes on anything else than basic_info, without a code as Kong does", async () => {
    for (const message of [BASIC_INFO.toString(), Buffer.from('{"type":"other"}')]) {
      const plane = await connect();
      plane.webSocket.send(message);
      assert.equal((await plane.closed)[0], 1005);
    }
    assert.equal(controlPlane.planes.length, 0);
  });

  it("drops a data plane after 45 s without a ping", async () => {
    const plane = await connect();
    const ping = async () => {
      const pong = once(plane.webSocket, "pong");
      plane.webSocket.ping(NO_HASH);
      await pong;
    };
    plane.webSocket.send(BASIC_INFO);
    await ping();
    await clock.advance(30_000);
    await ping();
    await clock.advance(44_999);
    assert.equal(controlPlane.planes.length, 1);
    await clock.advance(1);
    await plane.closed;
    assert.equal(log.find("data plane fell silent").length, 1);
    assert.equal(clock.sleepers, 0);
  });

  it("forgets a data plane that goes away", async () => {
    const gone = new Promise<void>((resolve) => {
      log.info = (_, message) => {
        if (message === "data plane disconnected") resolve();
      };
    });
    const plane = await connect();
    plane.webSocket.send(BASIC_INFO);
    plane.webSocket.close();
    await gone;
    assert.equal(controlPlane.planes.length, 0);
    assert.equal(log.find("data plane fell silent").length, 0);
  });

  it("closes without an answer on another certificate than its own", async () => {
    const other = await clusterCertificate();
    const strange = { cert: other.cert, key: other.key.reveal() };
    await assert.rejects(connect(strange), /socket hang up|ECONNRESET/);
    await assert.rejects(connect({ cert: "", key: "" }), /socket hang up|ECONNRESET/);
    assert.equal(log.find("data plane refused").length, 2);
  });

  it("answers 400 in mode pki to a certificate of another CA, and takes one of its own", async () => {
    const authority = await certificateAuthority();
    await controlPlane[Symbol.asyncDispose]();
    controlPlane = await listen(await pkiTls(authority.issue("cp.example"), authority.cert));
    const as = async (pair: ReturnType<typeof clusterCertificate>) => {
      const { cert, key } = await pair;
      return connect({
        cert,
        key: key.reveal(),
        ca: authority.cert,
        servername: "cp.example",
      });
    };
    await assert.rejects(as((await certificateAuthority()).issue("dp")), /400/);
    assert.equal((await as(authority.issue("dp"))).webSocket.readyState, WebSocket.OPEN);
  });

  for (const [what, path, status] of [
    ["no node_id", "/v1/outlet?node_version=3.9.1", 400],
    ["no node_version", `/v1/outlet?node_id=${NODE_ID}`, 400],
    ["no query", "/v1/outlet", 400],
    ["the incremental protocol", "/v2/outlet", 404],
    ["another path", "/", 404],
  ] as const) {
    it(`answers ${status} to ${what}`, async () => {
      await assert.rejects(connect({}, path), new RegExp(`response: ${status}`));
    });
  }

  it("answers 404 to a request that is no upgrade, such as the probe of a 3.0 data plane", async () => {
    const request = https.request({
      method: "HEAD",
      host: "127.0.0.1",
      port: controlPlane.port,
      path: "/v1/wrpc",
      ca: clusterTls.cert,
      servername: "kong_clustering",
    });
    request.end();
    const [response] = await once(request, "response");
    assert.equal(response.statusCode, 404);
  });

  it("drops every data plane when it is closed, once and for all", async () => {
    const plane = await connect();
    plane.webSocket.send(BASIC_INFO);
    await controlPlane[Symbol.asyncDispose]();
    await controlPlane[Symbol.asyncDispose]();
    await plane.closed;
    assert.equal(clock.sleepers, 0);
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
      FallbackControlPlane.listen({ host: "127.0.0.1", port, tls, clock }),
      (error) =>
        error instanceof ListenError &&
        error.code === "LISTEN_FAILED" &&
        error.message.includes(`cannot listen on 127.0.0.1:${port} for data planes: `) &&
        error.message.includes("EADDRINUSE"),
    );
  });
});
