import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "vitest";
import { ClusterTlsError } from "../../src/kong/cluster-tls.ts";
import { ClusterDialer, type ClusterDialerOptions } from "../../src/source/dialer.ts";
import type { ConnectionEnding } from "../../src/source/port.ts";
import { clusterCertificate, sharedTls } from "../fakes/certificates.ts";
import { FakeControlPlane } from "../fakes/control-plane.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { FakeRpcControlPlane } from "../fakes/rpc-control-plane.ts";
import { page } from "../fakes/upgrade-server.ts";
import { BINARY, encodeFrame } from "../fakes/websocket-frames.ts";
import { clusterTls, failure, tcpServer } from "./harness.ts";

const TARGET = "/v1/outlet?node_id=a&node_hostname=dp-0&node_version=3.9.1";
const never = new AbortController().signal;

function dialerTo(
  { address }: Pick<FakeControlPlane, "address">,
  changes: Partial<ClusterDialerOptions> = {},
): ClusterDialer {
  return new ClusterDialer({
    controlPlane: address,
    proxy: undefined,
    loadTls: async () => clusterTls,
    maxPayloadBytes: 16_777_216,
    clock: new ManualClock(new Date()),
    ...changes,
  });
}

describe("dialing a control plane for a data plane", () => {
  it("asks for what the data plane asked for, to the letter, and for nothing else", async () => {
    await using controlPlane = await FakeControlPlane.listen({ tls: clusterTls });
    const dialer = dialerTo(controlPlane);
    assert.equal(dialer.name, `127.0.0.1:${controlPlane.address.port}`);
    const targets = [
      TARGET,
      "/v1/outlet?node_version=3.9.1&node_id=A%2db&node_hostname=my+host%20%C3%A9&x&x=&node_id=b",
    ];
    for (const [i, target] of targets.entries()) {
      const { webSocket } = await dialer.dial({ target }, never);
      const { request } = await controlPlane.session(i + 1);
      assert.equal(request.url, target);
      assert.equal(request.headers.host, dialer.name);
      assert.equal(request.headers["sec-websocket-protocol"], undefined);
      assert.equal(request.headers["sec-websocket-extensions"], undefined);
      webSocket.terminate();
    }
    await controlPlane.deserted();
    assert.deepEqual(
      controlPlane.sessions.flatMap(({ frames }) => frames),
      [],
    );
  });

  it("offers the data plane's subprotocol", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    const request = { target: "/v2/outlet", protocol: "kong.meta.v1" };
    const { webSocket } = await dialerTo(controlPlane).dial(request, never);
    const session = await controlPlane.session();
    assert.equal(session.request.headers["sec-websocket-protocol"], "kong.meta.v1");
    assert.equal(webSocket.protocol, "kong.meta.v1");
    webSocket.terminate();
  });

  it("gives a connection that is not read before it is resumed, though a message came", async () => {
    const greeting = encodeFrame(BINARY, Buffer.from("config"));
    await using controlPlane = await FakeControlPlane.listen({ tls: clusterTls, greeting });
    const { webSocket, socket } = await dialerTo(controlPlane).dial({ target: TARGET }, never);
    let messages = 0;
    webSocket.on("message", () => {
      messages += 1;
    });
    await setImmediate();
    assert.equal(messages, 0);
    const message = once(webSocket, "message");
    webSocket.resume();
    assert.equal(String((await message)[0]), "config");
    const bytes = once(socket, "data");
    (await controlPlane.session()).write(greeting.subarray(0, 3));
    assert.ok((await bytes)[0].equals(greeting.subarray(0, 3)));
    webSocket.terminate();
  });

  it("shows a rotated certificate at the next dial", async () => {
    const rotated = await sharedTls(clusterCertificate());
    await using controlPlane = await FakeControlPlane.listen({ tls: rotated });
    const loaded = [clusterTls, rotated];
    const dialer = dialerTo(controlPlane, {
      loadTls: async () => loaded.shift() ?? assert.fail("loaded too often"),
    });
    await failure(dialer.dial({ target: TARGET }, never), "SOURCE_TLS");
    const { webSocket } = await dialer.dial({ target: TARGET }, never);
    assert.equal(webSocket.readyState, webSocket.OPEN);
    webSocket.terminate();
  });

  it("says why it fails", async () => {
    await using absent = await FakeControlPlane.listen({ tls: clusterTls, answer: page(404) });
    await failure(dialerTo(absent).dial({ target: TARGET }, never), "SOURCE_NOT_FOUND");
    await using busy = await FakeControlPlane.listen({ tls: clusterTls, answer: page(503) });
    await failure(dialerTo(busy).dial({ target: TARGET }, never), "SOURCE_BUSY");
    await using dropping = await FakeControlPlane.listen({ tls: clusterTls, answer: "" });
    await failure(dialerTo(dropping).dial({ target: TARGET }, never), "SOURCE_REFUSED");
    await failure(
      dialerTo({ address: { host: "127.0.0.1", port: 1 } }).dial({ target: TARGET }, never),
      "SOURCE_UNREACHABLE",
    );
    const loadTls = () =>
      Promise.reject(new ClusterTlsError("half a pair", { hint: "Give both halves of one pair." }));
    await failure(dialerTo(absent, { loadTls }).dial({ target: TARGET }, never), "SOURCE_TLS");
  });

  it("does not wait for certificates on a file system that hangs", async () => {
    const clock = new ManualClock(new Date());
    const loadTls = () => new Promise<never>(() => {});
    const dialer = dialerTo({ address: { host: "127.0.0.1", port: 1 } }, { loadTls, clock });
    const refused = failure(dialer.dial({ target: TARGET }, never), "SOURCE_TLS");
    await clock.advance(5_000);
    assert.match(
      (await refused).message,
      /^the cluster's certificates could not be read within 5 s/,
    );
    const controller = new AbortController();
    const stopped = dialer.dial({ target: TARGET }, controller.signal);
    const reason = new Error("stop");
    controller.abort(reason);
    await assert.rejects(stopped, (error) => error === reason);
    assert.equal(clock.sleepers, 0);
  });

  it("fails, and leaves nothing open, where the data plane's request cannot be made", async () => {
    await using controlPlane = await FakeControlPlane.listen({ tls: clusterTls });
    const dialer = dialerTo(controlPlane);
    for (const request of [
      { target: `${TARGET}#fragment` },
      { target: TARGET, protocol: "a,a" },
      { target: TARGET, protocol: "a b" },
    ]) {
      await failure(dialer.dial(request, never), "SOURCE_REFUSED");
    }
    await controlPlane.deserted();
    assert.equal(controlPlane.sessions.length, 0);
  });

  it("explains how a connection ended", async () => {
    await using controlPlane = await FakeControlPlane.listen({ tls: clusterTls });
    const dialer = dialerTo(controlPlane, { maxPayloadBytes: 700 });
    const connection = await dialer.dial({ target: TARGET }, never);
    const explained = (ending: Partial<ConnectionEnding>) =>
      connection.explain({
        closeCode: 1006,
        closeReason: "",
        error: undefined,
        afterMs: 10,
        heard: false,
        version: "3.10.0",
        ...ending,
      });
    const refused = explained({ closeCode: 1005 });
    assert.equal(refused.code, "SOURCE_REFUSED");
    assert.match(refused.message, new RegExp(`${dialer.name}.* told version 3\\.10\\.0`));
    assert.equal(explained({ closeCode: 1005, heard: true }).code, "SOURCE_LOST");
    assert.equal(explained({ closeCode: 1005, afterMs: 5_000 }).code, "SOURCE_LOST");
    assert.match(explained({}).message, /the connection broke off$/);
    assert.match(explained({ error: new Error("read ECONNRESET") }).message, /ECONNRESET/);
    const tooLarge = once(connection.webSocket, "error");
    connection.webSocket.resume();
    (await controlPlane.session()).sendConfig(Buffer.alloc(701));
    const [error] = await tooLarge;
    const explanation = explained({ error });
    assert.equal(explanation.code, "SOURCE_FRAME_TOO_LARGE");
    assert.match(explanation.message, /more than 700 bytes/);
    connection.webSocket.terminate();
  });
});

describe("a dial that is aborted", () => {
  const reason = new Error("the data plane left");

  it("rejects with the reason and leaves nothing open, in the middle of the upgrade", async () => {
    await using controlPlane = await FakeControlPlane.listen({ tls: clusterTls, hangs: true });
    const clock = new ManualClock(new Date());
    const stop = new AbortController();
    const asked = controlPlane.asked();
    const dial = dialerTo(controlPlane, { clock }).dial({ target: TARGET }, stop.signal);
    dial.catch(() => {});
    await asked;
    stop.abort(reason);
    await assert.rejects(dial, (error) => error === reason);
    await controlPlane.deserted();
    await setImmediate();
    assert.equal(clock.sleepers, 0);
    assert.equal(getEventListeners(stop.signal, "abort").length, 0);
  });

  it("rejects with the reason and leaves nothing open, in the middle of TLS", async () => {
    const stop = new AbortController();
    const closed: Promise<unknown>[] = [];
    await using server = await tcpServer((socket) => {
      closed.push(once(socket, "close"));
      socket.once("data", () => stop.abort(reason));
    });
    const dial = dialerTo(server).dial({ target: TARGET }, stop.signal);
    await assert.rejects(dial, (error) => error === reason);
    assert.equal(closed.length, 1);
    await Promise.all(closed);
  });

  it("does not even begin", async () => {
    await using controlPlane = await FakeControlPlane.listen({ tls: clusterTls });
    const dial = dialerTo(controlPlane).dial({ target: TARGET }, AbortSignal.abort(reason));
    await assert.rejects(dial, (error) => error === reason);
    assert.equal(controlPlane.sessions.length, 0);
  });

  it("is over once it succeeded: the connection stays", async () => {
    await using controlPlane = await FakeControlPlane.listen({ tls: clusterTls });
    const clock = new ManualClock(new Date());
    const stop = new AbortController();
    const dialer = dialerTo(controlPlane, { clock });
    const { webSocket } = await dialer.dial({ target: TARGET }, stop.signal);
    stop.abort(reason);
    await setImmediate();
    assert.equal(webSocket.readyState, webSocket.OPEN);
    assert.equal(clock.sleepers, 0);
    assert.equal(getEventListeners(stop.signal, "abort").length, 0);
    webSocket.terminate();
  });
});
