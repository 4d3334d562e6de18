import assert from "node:assert/strict";
import { inspect } from "node:util";
import { describe, it } from "vitest";
import type { ClusterTls } from "../../src/kong/cluster-tls.ts";
import { parseRetryAfter } from "../../src/source/handshake-diagnosis.ts";
import {
  certificateAuthority,
  clusterCertificate,
  pkiTls,
  sharedTls,
} from "../fakes/certificates.ts";
import { FakeControlPlane } from "../fakes/control-plane.ts";
import { page } from "../fakes/upgrade-server.ts";
import { clusterTls, refusal } from "./harness.ts";

const authority = await certificateAuthority("Company CA");

describe("a control plane that refuses the upgrade", () => {
  async function answered(answer: string, code: Parameters<typeof refusal>[1]) {
    await using controlPlane = await FakeControlPlane.listen({ tls: clusterTls, answer });
    return await refusal({ controlPlane: controlPlane.address }, code);
  }

  it("drops whoever shows another certificate than its own, without an answer", async () => {
    // Trusted by us, since an authority signed both; not the control plane's own, which it wants.
    const theirs = await sharedTls(clusterCertificate());
    const ours: ClusterTls = { ...clusterTls, ca: theirs.ca };
    await using controlPlane = await FakeControlPlane.listen({ tls: theirs });
    const error = await refusal(
      { controlPlane: controlPlane.address, loadTls: async () => ours },
      "SOURCE_REFUSED",
    );
    assert.match(error.message, /dropped the connection without an answer \(ECONNRESET\)/);
    assert.match(error.hint, /same KONG_CLUSTER_CERT/);
    assert.equal(error.retryable, false);
  });

  it("answers 400 where its CA did not sign the client's certificate", async () => {
    const theirs = await pkiTls(authority.issue("127.0.0.1"), authority.cert);
    const ours = await pkiTls((await certificateAuthority("Ours")).issue("dp"), authority.cert);
    await using controlPlane = await FakeControlPlane.listen({ tls: theirs });
    const error = await refusal(
      { controlPlane: controlPlane.address, loadTls: async () => ours },
      "SOURCE_REFUSED",
    );
    assert.match(error.message, /answered HTTP 400$/);
    assert.match(error.hint, /does not accept the client certificate/);
    assert.match((await answered(page(400), "SOURCE_REFUSED")).hint, /KONG_CLUSTER_MTLS=pki/);
  });

  it("answers 404: no cluster port, or Kong 3.1", async () => {
    const error = await answered(page(404), "SOURCE_NOT_FOUND");
    assert.match(error.message, /answered HTTP 404 for \/v1\/outlet$/);
    assert.match(error.hint, /8005/);
    assert.match(error.hint, /Kong 3\.1/);
  });

  for (const status of [401, 403]) {
    it(`answers ${status} with a message in JSON, as Konnect does`, async () => {
      const error = await answered(
        page(status, "", '{"message":"invalid\\nclient certificate"}'),
        "SOURCE_REFUSED",
      );
      assert.ok(error.message.endsWith(`answered HTTP ${status}: invalid client certificate`));
      assert.match(error.hint, /Konnect/);
    });
  }

  it("answers 429 or 503, and how long to wait", async () => {
    const busy = await answered(page(429, "Retry-After: 120\r\n"), "SOURCE_BUSY");
    assert.equal(busy.retryAfterMs, 120_000);
    assert.match(busy.message, /answered HTTP 429, and asks to wait 120 s/);
    assert.equal(busy.retryable, true);
    const down = await answered(page(503), "SOURCE_BUSY");
    assert.equal(down.retryAfterMs, undefined);
    assert.match(down.message, /answered HTTP 503$/);
    const date = new Date(Date.now() + 60_000).toUTCString();
    const dated = await answered(page(502, `Retry-After: ${date}\r\n`), "SOURCE_BUSY");
    assert.ok(dated.retryAfterMs !== undefined && dated.retryAfterMs > 50_000);
  });

  it("has a load balancer in front that answers 502", async () => {
    const error = await answered(page(502), "SOURCE_UNREACHABLE");
    assert.match(error.hint, /load balancer/);
    assert.equal(error.retryable, true);
  });

  for (const status of [301, 302]) {
    it(`answers ${status}, and only the host it redirects to is told`, async () => {
      const error = await answered(
        page(status, "Location: https://user:pw@sso.example/login?token=s3cret\r\n"),
        "SOURCE_REFUSED",
      );
      assert.ok(error.message.endsWith(`answered HTTP ${status} and redirects to sso.example`));
      assert.doesNotMatch(inspect(error, { depth: 5 }), /s3cret|user:pw/);
    });
  }

  it("is something else altogether", async () => {
    const ok = await answered(page(200), "SOURCE_NOT_FOUND");
    assert.match(ok.message, /answered HTTP 200 instead of opening a WebSocket/);
    const ssh = await answered("SSH-2.0-OpenSSH_9.2\r\n", "SOURCE_NOT_FOUND");
    assert.match(ssh.message, /does not answer in HTTP/);
    const teapot = await answered(page(418), "SOURCE_REFUSED");
    assert.match(teapot.hint, /in between/);
    const upgrade =
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: wrong\r\n\r\n";
    assert.match(
      (await answered(upgrade, "SOURCE_REFUSED")).message,
      /did not open a WebSocket: Invalid Sec-WebSocket-Accept header/,
    );
  });
});

describe("Retry-After", () => {
  const now = new Date("2026-11-21T12:00:00Z");
  for (const [value, ms] of [
    ["0", 0],
    ["90", 90_000],
    ["Sat, 21 Nov 2026 12:01:00 GMT", 60_000],
    ["Sat, 21 Nov 2026 11:00:00 GMT", 0],
    ["soon", undefined],
    ["-5", undefined],
    ["1.5", undefined],
    ["", undefined],
    [undefined, undefined],
  ] as const) {
    it(`${JSON.stringify(value)} means ${ms} ms`, () => {
      assert.equal(parseRetryAfter(value, now), ms);
    });
  }
});
