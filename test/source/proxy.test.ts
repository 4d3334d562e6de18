import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { inspect } from "node:util";
import { describe, it } from "vitest";
import { type ForwardProxy, parseForwardProxy } from "../../src/network/forward-proxy.ts";
import { certificateAuthority } from "../fakes/certificates.ts";
import { FakeControlPlane } from "../fakes/control-plane.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { FakeProxy, type FakeProxyOptions } from "../fakes/proxy.ts";
import { capture, clusterTls, failure, hybridSource, pair, refusal } from "./harness.ts";

const authority = await certificateAuthority();
const SMALL = capture("3.9.1/small.reconfigure.bin");

function proxyAt(port: number, changes: Partial<ForwardProxy> = {}): ForwardProxy {
  const proxy = parseForwardProxy(`http://user%40corp:s3cr%3At@127.0.0.1:${port}`);
  assert.ok(proxy);
  return { ...proxy, ...changes };
}

/** The first config that comes through this proxy. */
async function configThrough(proxy: ForwardProxy, host = "127.0.0.1"): Promise<string> {
  await using controlPlane = await FakeControlPlane.listen({ tls: clusterTls, config: SMALL });
  const { port } = controlPlane.address;
  const source = hybridSource({ controlPlane: { host, port }, proxy });
  for await (const event of source.watch(new AbortController().signal)) {
    if (event.kind === "config") {
      return `${host}:${port}`;
    }
  }
  assert.fail("no config came");
}

async function refused(options: FakeProxyOptions, code: Parameters<typeof refusal>[1]) {
  await using proxy = await FakeProxy.listen(options);
  const error = await refusal(
    { controlPlane: { host: "cp.example", port: 8005 }, proxy: proxyAt(proxy.port) },
    code,
  );
  const credentials = Buffer.from("user@corp:s3cr:t").toString("base64");
  const told = inspect(error, { depth: 5 });
  assert.ok(!/s3cr|corp/.test(told) && !told.includes(credentials), told);
  return { error, name: `http://127.0.0.1:${proxy.port}` };
}

describe("a forward proxy", () => {
  it("is asked for a tunnel as Kong asks, credentials included", async () => {
    await using proxy = await FakeProxy.listen();
    const target = await configThrough(proxyAt(proxy.port));
    const [request] = proxy.requests;
    assert.equal(request?.target, target);
    assert.equal(request.headers.host, target);
    assert.equal(request.headers["proxy-connection"], "Keep-Alive");
    assert.equal(
      request.headers["proxy-authorization"],
      `Basic ${Buffer.from("user@corp:s3cr:t").toString("base64")}`,
    );
  });

  it("gets no credentials where there are none", async () => {
    await using proxy = await FakeProxy.listen();
    await configThrough(proxyAt(proxy.port, { credentials: undefined }));
    assert.equal(proxy.requests[0]?.headers["proxy-authorization"], undefined);
  });

  it("may speak https, and its own name is verified, not the control plane's", async () => {
    await using proxy = await FakeProxy.listen({ certificate: await authority.issue("127.0.0.1") });
    const https = { protocol: "https:" } as const;
    await configThrough(proxyAt(proxy.port, { ...https, ca: authority.cert }), "localhost");
    await configThrough(proxyAt(proxy.port, { ...https, verifyCertificate: false }));
    assert.equal(proxy.requests.length, 2);
    const error = await refusal({ proxy: proxyAt(proxy.port, https) }, "SOURCE_PROXY");
    assert.match(
      error.message,
      new RegExp(`TLS with proxy https://127.0.0.1:${proxy.port} failed`),
    );
    assert.match(error.hint, /KONG_PROXY_SERVER_SSL_VERIFY/);
  });

  it("may speak only http though https is set", async () => {
    await using proxy = await FakeProxy.listen();
    const error = await refusal(
      { proxy: proxyAt(proxy.port, { protocol: "https:" }) },
      "SOURCE_PROXY",
    );
    assert.match(error.message, /failed: it does not speak TLS$/);
    assert.match(error.hint, /Write http:\/\//);
  });

  it("breaks a session off, which is told with the proxy's name", async () => {
    await using proxy = await FakeProxy.listen();
    await using t = await pair({}, { proxy: proxyAt(proxy.port) });
    const { event } = await t.begin();
    proxy.reset();
    const { message } = await failure(event, "SOURCE_LOST");
    assert.ok(message.includes(` through proxy http://127.0.0.1:${proxy.port} ended: `), message);
    assert.match(message, /ECONNRESET/);
  });

  it("refuses the credentials", async () => {
    const { error, name } = await refused({ status: 407 }, "SOURCE_PROXY");
    assert.equal(
      error.message,
      `proxy ${name} refused to connect to control plane cp.example:8005: it answered HTTP 407`,
    );
    assert.match(error.hint, /user and password into KONG_PROXY_SERVER/);
    assert.equal(error.retryable, false);
  });

  it("does not allow the control plane", async () => {
    const { error } = await refused({ status: 403 }, "SOURCE_PROXY");
    assert.match(error.hint, /allow CONNECT to cp\.example:8005/);
  });

  it("cannot connect to the control plane, which then counts as unreachable", async () => {
    const { error } = await refused({ status: 503 }, "SOURCE_UNREACHABLE");
    assert.match(error.message, /could not connect to control plane cp\.example:8005/);
    assert.equal(error.retryable, true);
  });

  it("is down", async () => {
    const proxy = await FakeProxy.listen();
    const { port } = proxy;
    await proxy[Symbol.asyncDispose]();
    const error = await refusal({ proxy: proxyAt(port) }, "SOURCE_UNREACHABLE");
    assert.ok(
      error.message.startsWith(
        `cannot connect to proxy http://127.0.0.1:${port}: connect ECONNREFUSED`,
      ),
    );
    assert.match(error.hint, /KONG_PROXY_SERVER/);
  });

  it("does not answer within 5 s", async () => {
    const clock = new ManualClock(new Date());
    await using proxy = await FakeProxy.listen({ hangs: true });
    const asked = proxy.asked();
    const ending = refusal({ proxy: proxyAt(proxy.port), clock }, "SOURCE_UNREACHABLE");
    await asked;
    await clock.advance(5_000);
    assert.match((await ending).message, /^cannot connect to proxy .*: no answer within 5 s$/);
  });

  it("is no proxy", async () => {
    const server = createServer((socket) => {
      socket.on("error", () => {}).end("SSH-2.0-OpenSSH_9.2\r\n", () => socket.destroySoon());
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const error = await refusal({ proxy: proxyAt(port) }, "SOURCE_PROXY");
    assert.match(error.message, /does not answer in HTTP/);
    server.close();
    await once(server, "close");
  });
});
