import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { connect } from "node:tls";
import { describe, it } from "vitest";
import { ListenError } from "../../../src/core/listen-error.ts";
import { nameRuleOf } from "../../../src/kong/cluster-tls.ts";
import type { Arrival } from "../../../src/sidecar/door/admission.ts";
import {
  certificateAuthority,
  clusterCertificate,
  daysFromNow,
  pkiTls,
  sharedTls,
} from "../../fakes/certificates.ts";
import { clusterTls } from "../../source/harness.ts";
import { answerTo, Door, firstAnswerTo, request, shown } from "./harness.ts";

const RPC = { "Sec-WebSocket-Protocol": "kong.meta.v1" };

describe("a listener", () => {
  it("takes a data plane with the cluster certificate, and says who it is", async () => {
    await using door = await Door.open();
    const { socket, arrival } = await door.knock();
    assert.equal(arrival.address, `127.0.0.1:${socket.localPort}`);
    assert.ok(!arrival.gone.aborted);
    assert.ok(arrival.accept());
    assert.match(await firstAnswerTo(socket), /^HTTP\/1.1 101 /);
    assert.equal(door.clock.sleepers, 0);
  });

  it("takes data planes at once over one door, each by itself", async () => {
    await using door = await Door.open();
    const entered = [await door.enter(), await door.enter(), await door.enter()];
    for (const { socket, accepted } of entered) {
      const frame = once(socket, "data");
      accepted.webSocket.send(Buffer.from("config"));
      assert.equal(String((await frame)[0]).slice(2), "config");
    }
  });

  it("tells an undecided arrival that has hung up", async () => {
    await using door = await Door.open();
    const { socket, arrival } = await door.knock();
    const gone = once(arrival.gone, "abort");
    socket.end();
    await gone;
    assert.equal(arrival.accept(), undefined);
  });

  it("shows the server certificate where it has one", async () => {
    const authority = await certificateAuthority();
    const tls = await pkiTls(authority.issue("dp-client"), authority.cert);
    const serverCertificate = await authority.issue("cp.example");
    await using door = await Door.open({ tls, serverCertificate });
    const socket = await door.tls({ ca: authority.cert, servername: "cp.example" });
    assert.equal(socket.getPeerCertificate().subject.CN, "cp.example");
  });

  it("says which address it cannot listen on", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const address = other.address();
    assert.ok(typeof address === "object" && address !== null);
    await assert.rejects(Door.open({ port: address.port }), (error) => {
      assert.ok(error instanceof ListenError);
      assert.match(
        error.message,
        /^cannot listen on 127\.0\.0\.1:\d+ for data planes: .*EADDRINUSE/,
      );
      return true;
    });
    other.close();
  });
});

describe("a certificate", () => {
  it.each(["/v1/outlet", "/v2/outlet"])(
    "other than the cluster's gets no answer on %s",
    async (path) => {
      await using door = await Door.open();
      const text = request(path, RPC);
      const strange = await shown(clusterCertificate());
      assert.equal(await answerTo(await door.tls(strange), text), "");
      assert.equal(await answerTo(await door.tls({ cert: "", key: "" }), text), "");
      assert.deepEqual(door.reasons, [
        "its certificate is not the cluster certificate",
        "shows no certificate",
      ]);
    },
  );

  it("is judged by its common name, too, where names are looked at", async () => {
    const authority = await certificateAuthority();
    const own = await authority.issue("cp.example.com");
    const base = await pkiTls(own, authority.cert);
    const isLetIn = async (name: string, listed: readonly string[]) => {
      await using door = await Door.open({
        tls: { ...base, names: nameRuleOf(listed, base.cert) },
      });
      const pair = await shown(authority.issue(name));
      const socket = await door.tls({ ...pair, ca: authority.cert, servername: "cp.example.com" });
      const arrived = new Promise<"in">((resolve) => {
        door.onArrival = () => resolve("in");
      });
      const outcome = await Promise.race([arrived, answerTo(socket, request())]);
      if (outcome === "in") return true;
      assert.match(outcome, /^HTTP\/1.1 400 Bad Request\r\n/);
      assert.deepEqual(door.reasons, [`its certificate's common name is not allowed: ${name}`]);
      return false;
    };
    assert.equal(await isLetIn("dp-1.example.com", []), true);
    assert.equal(await isLetIn("example.com", []), false);
    assert.equal(await isLetIn("a.dp.example.com", []), false);
    assert.equal(await isLetIn("dp-1.example.org", []), false);
    assert.equal(await isLetIn("dp-1.example.org", ["dp-0.example.org", "dp-1.example.org"]), true);
    assert.equal(await isLetIn("dp-1.example.com", ["dp-0.example.org"]), false);
    const bare = await authority.issue("localhost");
    assert.throws(() => nameRuleOf([], bare.cert), { code: "CLUSTER_CERT_INVALID" });
  });

  it("is judged by its CA and its date in mode pki", async () => {
    const authority = await certificateAuthority();
    const own = await authority.issue("cp.example");
    await using door = await Door.open({ tls: await pkiTls(own, authority.cert) });
    const ask = async (pair: { cert: string; key: string }) => {
      const tls = { ...pair, ca: authority.cert, servername: "cp.example" };
      return door.tls(tls);
    };
    const expired = { notBefore: daysFromNow(-9), notAfter: daysFromNow(-1) };
    const impostor = await certificateAuthority();
    for (const pair of [
      { cert: "", key: "" },
      await shown(authority.issue("dp", expired)),
      await shown(impostor.issue("dp")),
      await shown(clusterCertificate()),
    ]) {
      assert.match(await answerTo(await ask(pair), request()), /^HTTP\/1.1 400 Bad Request\r\n/);
    }
    assert.deepEqual(door.reasons, [
      "shows no certificate",
      "its certificate is refused: CERT_HAS_EXPIRED",
      "its certificate is refused: CERT_SIGNATURE_FAILURE",
      "its certificate is refused: DEPTH_ZERO_SELF_SIGNED_CERT",
    ]);
    const good = await ask(await shown(authority.issue("dp")));
    const arrived = new Promise<Arrival>((resolve) => {
      door.onArrival = resolve;
    });
    good.write(request());
    assert.ok((await arrived).accept());
  });

  it("is asked in mode pki also of who resumes a TLS session begun without one", async () => {
    const authority = await certificateAuthority();
    const tls = await pkiTls(authority.issue("cp.example"), authority.cert);
    await using door = await Door.open({ tls });
    const none = { cert: "", key: "", ca: authority.cert, servername: "cp.example" };
    const [session] = await once(await door.tls(none), "session");
    const resumed = await door.tls({ ...none, session });
    assert.ok(resumed.isSessionReused());
    // Node calls such a connection authorized.
    assert.match(await answerTo(resumed, request()), /^HTTP\/1.1 400 /);
  });
});

describe("a rotated certificate", () => {
  it("is shown to and asked of those who come later, and ends nobody's session", async () => {
    await using door = await Door.open();
    const early = await door.enter();
    const next = await clusterCertificate();
    door.listener.rotate(await sharedTls(next));

    await assert.rejects(door.tls(), /self-signed certificate/);
    const outdated = await door.tls({ ca: next.cert });
    assert.equal(await answerTo(outdated, request()), "");
    const late = await door.knock(request(), { ...(await shown(next)), ca: next.cert });
    assert.ok(late.arrival.accept());

    const frame = once(early.socket, "data");
    early.accepted.webSocket.send("still here");
    assert.equal(String((await frame)[0]).slice(2), "still here");
  });

  it("is asked also of a data plane that resumes an earlier TLS session", async () => {
    await using door = await Door.open();
    const [session] = await once(await door.tls(), "session");
    assert.ok((await door.tls({ session })).isSessionReused());
    const next = await clusterCertificate();
    door.listener.rotate(await sharedTls(next));
    const again = await door.tls({ session, ca: next.cert });
    assert.ok(!again.isSessionReused());
    assert.equal(await answerTo(again, request()), "");
  });

  it("may be another CA, and bring another server certificate", async () => {
    const [old, young] = [await certificateAuthority("Old"), await certificateAuthority("Young")];
    await using door = await Door.open({ tls: await pkiTls(old.issue("cp.example"), old.cert) });
    const plane = { ...(await shown(young.issue("dp"))), servername: "cp.example" };
    const before = await door.tls({ ...plane, ca: old.cert });
    assert.match(await answerTo(before, request()), /^HTTP\/1.1 400 /);

    const tls = await pkiTls(young.issue("dp-client"), young.cert);
    door.listener.rotate(tls, await young.issue("cp.example"));
    const { arrival } = await door.knock(request(), { ...plane, ca: young.cert });
    assert.ok(arrival.accept());
  });

  it("that does not fit its key changes nothing", async () => {
    await using door = await Door.open();
    const { key } = await clusterCertificate();
    assert.throws(() => door.listener.rotate({ ...clusterTls, key }), /key values mismatch/);
    const { arrival } = await door.knock();
    assert.ok(arrival.accept());
  });
});

describe("closing a listener", () => {
  it.each([
    [
      "waits for its turn",
      async (door: Door) => {
        await door.tls();
        return door.tcp();
      },
    ],
    ["hangs before TLS", (door: Door) => door.tcp()],
    [
      "hangs in TLS",
      async (door: Door) => {
        const socket = await door.tcp();
        socket.write(Buffer.from("16030102000100", "hex"));
        return socket;
      },
    ],
    ["hangs before its request", (door: Door) => door.tls()],
    [
      "hangs in its request",
      async (door: Door) => {
        const socket = await door.tls();
        socket.write(request().slice(0, -2));
        return socket;
      },
    ],
    ["is undecided", async (door: Door) => (await door.knock()).socket],
    ["was let in", async (door: Door) => (await door.enter()).socket],
  ] as const)("drops a connection that %s, once and for all", async (_, connect) => {
    const limits = { maxConnections: 10, handshakesPerSecond: 1 };
    await using door = await Door.open({ limits });
    const closed = answerTo(await connect(door));
    await Promise.all([
      door.listener[Symbol.asyncDispose](),
      door.listener[Symbol.asyncDispose](),
      closed,
    ]);
    await door.listener[Symbol.asyncDispose]();
    assert.equal(door.clock.sleepers, 0);
    await assert.rejects(door.tcp(), /ECONNREFUSED/);
  });

  it("tells an undecided arrival that it is gone", async () => {
    await using door = await Door.open();
    const { arrival } = await door.knock();
    const gone = once(arrival.gone, "abort");
    await door.listener[Symbol.asyncDispose]();
    await gone;
    assert.equal(arrival.accept(), undefined);
  });
});

describe("a data plane that does not take the certificate it is shown", () => {
  const BROKEN =
    "data plane breaks off the TLS handshake: it does not take the certificate it is shown";

  it("is counted each time, and told of once, with what to look at", async () => {
    await using door = await Door.open();
    for (let times = 1; times <= 3; times += 1) {
      // As OpenResty does it: the handshake is finished, and then the name found wrong.
      const socket = await door.tls();
      socket.end();
      await door.until(() => door.distrusts === times);
    }
    const [line, ...more] = door.log.find(BROKEN);
    assert.deepEqual(more, []);
    assert.match(`${line?.fields["hint"]}`, /KONG_CLUSTER_CERT/);
    await door.clock.advance(5 * 60_000);
    (await door.tls()).end();
    await door.until(() => door.log.find(BROKEN).length === 2);
  });

  it("is told of where it says so by an alert", async () => {
    await using door = await Door.open();
    const socket = await door.tcp();
    socket.write(await clientHello());
    await firstAnswerTo(socket);
    // Fatal, unknown_ca: RFC 5246 7.2
    await answerTo(socket, Buffer.from([0x15, 0x03, 0x03, 0, 2, 2, 48]));
    assert.equal(door.distrusts, 1);
    const [line] = door.log.find(BROKEN);
    assert.equal(line?.fields["code"], "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA");
  });

  it("is not whoever shows no certificate, asks something, or asks nothing for 5 s", async () => {
    await using door = await Door.open();
    (await door.tls({ cert: undefined, key: undefined })).destroy();
    await answerTo(await door.tls(), request("/elsewhere"));
    const waits = answerTo(await door.tls());
    // Its own, and that of the warning.
    await door.until(() => door.clock.sleepers === 2);
    await door.clock.advance(5_000);
    await waits;
    (await door.tcp()).destroy();
    const last = await door.tls();
    last.end();
    await door.until(() => door.distrusts > 0);
    assert.equal(door.distrusts, 1);
  });
});

/** The first message of a client of TLS 1.2. */
async function clientHello(): Promise<Buffer> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect({ port: (server.address() as AddressInfo).port, maxVersion: "TLSv1.2" });
  client.on("error", () => {});
  const [peer] = await once(server, "connection");
  const [hello] = await once(peer, "data");
  client.destroy();
  server.close();
  return hello;
}
