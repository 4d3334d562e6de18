import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { describe, it } from "vitest";
import { traitsOf } from "../../fakes/data-plane-traits.ts";
import { seededRandom } from "../../fakes/seeded-random.ts";
import { BINARY, PING, TEXT } from "../../fakes/websocket-frames.ts";
import { capture, HASH, NO_HASH, SMALL } from "../../source/harness.ts";
import { Stage } from "../stage.ts";

const RICH = capture("3.9.1/rich.reconfigure.bin");

describe("what the control plane sees of a data plane", () => {
  for (const version of ["3.9.1", "3.4.2", "2.8.5"]) {
    it(`of version ${version} is what it sent: id, hostname, version, basic_info, pings`, async () => {
      await using stage = await Stage.open({ behind: { config: SMALL, version } });
      const hostname = `dp-${version}`;
      const plane = await stage.plane({ version, hostname });
      await plane.configured();
      const upstream = await stage.upstreamOf(plane);
      await stage.until(() => upstream.pings.at(-1) === plane.hash);
      assert.equal(
        upstream.request.url,
        `/v1/outlet?node_id=${plane.nodeId}&node_hostname=${hostname}&node_version=${version}`,
      );
      assert.equal(upstream.servername, "kong_clustering");
      assert.deepEqual(upstream.frames[0]?.payload, traitsOf(version).basicInfo);
      assert.deepEqual([...new Set(upstream.pings)], [NO_HASH, plane.hash]);
      assert.ok(upstream.frames.every(({ masked, final }) => masked && final));
      assert.deepEqual(plane.received[0]?.frame, SMALL);
      assert.equal((await stage.sessionOf(plane)).state.kind, "live");
      await stage.pass(30_000);
      await stage.until(() => upstream.pings.length >= 3);
      await plane.until(() => plane.pongs >= plane.pings.length);
    });
  }

  it("is the hash it runs from the first ping on", async () => {
    await using stage = await Stage.open({ behind: {} });
    const plane = await stage.plane({ hash: HASH });
    const upstream = await stage.upstreamOf(plane);
    await upstream.received(2);
    assert.deepEqual([...new Set(upstream.pings)], [HASH]);
  });

  it("is one connection for each, which goes when the data plane goes", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL } });
    const planes = [await stage.plane(), await stage.plane(), await stage.plane()];
    for (const plane of planes) await plane.configured();
    for (const plane of planes) assert.equal(stage.upstreamsOf(plane).length, 1);
    for (const [index, plane] of planes.entries()) {
      if (index === 0) plane.close();
      else plane.drop();
      await (await stage.upstreamOf(plane)).ended();
    }
    await stage.until(() => stage.sidecar.planes.length === 0);
    assert.equal(stage.sidecar.state.kind, "live");
  });
});

describe("what the control plane sends", () => {
  it("arrives byte for byte, in order, text and unread configs included", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL } });
    const plane = await stage.plane();
    await plane.configured();
    const upstream = await stage.upstreamOf(plane);
    upstream.sendConfig(RICH);
    upstream.send(TEXT, Buffer.from("a text"));
    upstream.sendConfig(SMALL);
    await plane.until(() => plane.received.length === 4);
    assert.deepEqual(
      plane.received.map(({ frame, isBinary }) => [frame.toString("hex"), isBinary]),
      [SMALL, RICH, Buffer.from("a text"), SMALL].map((frame) => [
        frame.toString("hex"),
        frame.length !== 6,
      ]),
    );
    assert.deepEqual(plane.violations.splice(0), ["a text"]);
    assert.deepEqual(stage.passed, [SMALL, RICH, SMALL]);
  });

  it("arrives intact under load, both ways, at 20 data planes at once", async () => {
    await using stage = await Stage.open({ behind: { takesAnything: true }, random: () => 0.5 });
    const random = seededRandom(3);
    const down = Array.from({ length: 50 }, (_, n) => downFrame(n, random));
    const up = Array.from({ length: 50 }, (_, n) => upFrame(n, random));
    const planes = await Promise.all(Array.from({ length: 20 }, () => stage.plane()));
    const upstreams = await Promise.all(planes.map((plane) => stage.upstreamOf(plane)));
    await Promise.all(upstreams.map((upstream) => upstream.received(2)));
    for (let n = 0; n < 50; n += 1) {
      for (const [index, plane] of planes.entries()) {
        // Each in an order of its own.
        const at = (n * 7 + index) % 50;
        plane.send(BINARY, up[at] ?? Buffer.alloc(0));
        upstreams[index]?.sendConfig(down[at] ?? Buffer.alloc(0));
      }
      await stage.until(() => upstreams.every(({ unsentBytes }) => unsentBytes < 8_000_000));
    }
    for (const [index, plane] of planes.entries()) {
      await plane.until(() => plane.received.length === 50);
      const sent = () => (upstreams[index]?.frames ?? []).filter(({ opcode }) => opcode !== PING);
      await stage.until(() => sent().length === 51);
      for (let n = 0; n < 50; n += 1) {
        const at = (n * 7 + index) % 50;
        assert.ok(plane.received[n]?.frame.equals(down[at] ?? Buffer.alloc(0)), `frame ${n} down`);
        assert.ok(sent()[n + 1]?.payload.equals(up[at] ?? Buffer.alloc(0)), `frame ${n} up`);
      }
    }
  }, 60_000);
});

/** Some short, some long, one of 2 MB; a data plane takes no notice of a message of this type. */
function downFrame(n: number, random: () => number): Buffer {
  const bytes = n === 25 ? 2_000_000 : n % 5 === 0 ? 300_000 * random() : 20_000 * random();
  const pad = Buffer.alloc(bytes, `${n} ${random()} `).toString();
  return gzipSync(JSON.stringify({ type: "other", n, pad }), { level: 0 });
}

/** A data plane's may have up to 1 MiB. */
function upFrame(n: number, random: () => number): Buffer {
  const bytes = n === 25 ? 1_000_000 : n % 10 === 0 ? 200_000 * random() : 2_000 * random();
  return Buffer.alloc(bytes, `${n} ${random()} `);
}
