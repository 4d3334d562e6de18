/** A name with two addresses, one of which takes connections and says nothing: of a control plane, of a proxy. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { STEP_TIMEOUT_MS } from "../../src/kong/wire.ts";
import { parseForwardProxy } from "../../src/network/forward-proxy.ts";
import { FakeControlPlane } from "../fakes/control-plane.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { FakeProxy } from "../fakes/proxy.ts";
import { NAME, Replicas } from "../fakes/replicas.ts";
import { type Changes, clusterTls, hybridSource } from "./harness.ts";

/** How many of two attempts in a row bring a session. */
async function sessionsOf(changes: Changes): Promise<number> {
  const source = hybridSource(changes);
  const { signal } = new AbortController();
  let count = 0;
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const events = source.watch(signal);
    try {
      assert.equal((await events.next()).value.kind, "connected");
      count += 1;
      await events.return(undefined as never);
    } catch (error) {
      assert.match(String(error), /no answer within 5 s/);
    }
  }
  return count;
}

describe("a silent replica", () => {
  it("of the control plane is passed by at the next attempt", async () => {
    await using controlPlane = await FakeControlPlane.listen({ tls: clusterTls });
    const clock = new ManualClock(new Date());
    const giveUp = () => void clock.advance(STEP_TIMEOUT_MS);
    await using replicas = await Replicas.before(controlPlane.address.port, giveUp);
    const address = { host: NAME, port: replicas.port };
    assert.ok((await sessionsOf({ controlPlane: address, clock })) >= 1);
  });

  it("of the proxy is passed by at the next attempt", async () => {
    await using controlPlane = await FakeControlPlane.listen({ tls: clusterTls });
    await using proxy = await FakeProxy.listen();
    const clock = new ManualClock(new Date());
    const giveUp = () => void clock.advance(STEP_TIMEOUT_MS);
    await using replicas = await Replicas.before(proxy.port, giveUp);
    const named = parseForwardProxy(`http://${NAME}:${replicas.port}`);
    const changes = { controlPlane: controlPlane.address, proxy: named, clock };
    assert.ok((await sessionsOf(changes)) >= 1);
  });
});
