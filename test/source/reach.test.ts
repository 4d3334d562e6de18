import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { StepTimeout } from "../../src/source/connect.ts";
import { diagnoseDial } from "../../src/source/handshake-diagnosis.ts";
import { FakeControlPlane } from "../fakes/control-plane.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { clusterTls, refusal, tcpServer } from "./harness.ts";

describe("a control plane that cannot be reached", () => {
  it("refuses connections", async () => {
    const server = await tcpServer(() => {});
    const { address } = server;
    await server[Symbol.asyncDispose]();
    const error = await refusal({ controlPlane: address }, "SOURCE_UNREACHABLE");
    assert.equal(
      error.message,
      `cannot connect to control plane 127.0.0.1:${address.port}: connect ECONNREFUSED 127.0.0.1:${address.port}`,
    );
    assert.match(error.hint, /Nothing listens there/);
    assert.equal(error.retryable, true);
  });

  it("has a name that does not resolve", async () => {
    const controlPlane = { host: "control-plane.invalid", port: 8005 };
    const error = await refusal({ controlPlane }, "SOURCE_UNREACHABLE");
    assert.match(error.message, /^cannot connect to control plane control-plane\.invalid:8005: /);
    assert.match(error.hint, /DNS/);
  });

  it("does not answer at all", () => {
    const error = diagnoseDial(new StepTimeout(), {
      address: "cp:8005",
      proxy: undefined,
      mtls: "shared",
      expectedName: "kong_clustering",
    });
    assert.equal(error.message, "cannot connect to control plane cp:8005: no answer within 5 s");
    assert.match(error.hint ?? "", /firewall/);
  });

  it("takes the connection and closes it, as a load balancer without back ends", async () => {
    await using server = await tcpServer((socket) => socket.destroy());
    const error = await refusal({ controlPlane: server.address }, "SOURCE_UNREACHABLE");
    assert.match(error.message, /did not complete TLS/);
    assert.match(error.hint, /load balancer/);
  });

  it("takes the connection and says nothing: 5 s, then the next try", async () => {
    const clock = new ManualClock(new Date());
    await using server = await tcpServer((socket) => {
      // The hello has come, so TLS is what is waited for.
      socket.once("data", () => void clock.advance(5_000));
    });
    const error = await refusal({ controlPlane: server.address, clock }, "SOURCE_UNREACHABLE");
    assert.match(error.message, /did not complete TLS: no answer within 5 s/);
  });

  it("completes TLS and does not answer the upgrade", async () => {
    const clock = new ManualClock(new Date());
    await using controlPlane = await FakeControlPlane.listen({ tls: clusterTls, hangs: true });
    const asked = controlPlane.asked();
    const ending = refusal({ controlPlane: controlPlane.address, clock }, "SOURCE_UNREACHABLE");
    await asked;
    await clock.advance(5_000);
    assert.match((await ending).message, /completed TLS but did not answer: no answer within 5 s/);
    await controlPlane.deserted();
    assert.equal(clock.sleepers, 0);
  });
});
