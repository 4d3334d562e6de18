import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { parseBasicInfo } from "../../../src/kong/basic-info.ts";
import { configuredPlugins } from "../../../src/kong/plugins.ts";
import { findMisfit } from "../../../src/sidecar/plane/feed.ts";
import { traitsOf } from "../../fakes/data-plane-traits.ts";
import { recorded } from "../stage.ts";

function recordedPlane(version: string) {
  const info = parseBasicInfo(traitsOf(version).basicInfo);
  assert.ok(info);
  return info;
}

const PLANE = { plugins: [{ name: "acl" }, { name: "cors" }], labels: {}, maxPayloadBytes: 1_000 };

describe("whether a data plane can take a config", () => {
  for (const version of ["3.9.1", "3.4.2"]) {
    it(`is yes for the recorded ones of ${version}`, async () => {
      const { frame, snapshot } = await recorded(`${version}/rich.reconfigure.bin`);
      const plugins = configuredPlugins(snapshot.config);
      assert.ok(plugins.size > 5);
      const load = { frameBytes: frame.length, plugins };
      assert.equal(findMisfit(load, recordedPlane(version)), undefined);
    });
  }

  it("is no where it lacks plugins: they are named, in order", () => {
    const load = { frameBytes: 10, plugins: new Set(["zipkin", "acl", "jwt"]) };
    const misfit = findMisfit(load, PLANE);
    assert.match(misfit?.reason ?? "", /does not have: jwt, zipkin$/);
    assert.match(misfit?.hint ?? "", /KONG_PLUGINS/);
  });

  it("is no where the message is longer than it takes, to the byte", () => {
    const plugins = new Set<string>();
    assert.equal(findMisfit({ frameBytes: 1_000, plugins }, PLANE), undefined);
    const misfit = findMisfit({ frameBytes: 1_001, plugins }, PLANE);
    assert.match(misfit?.reason ?? "", /has 1001 bytes compressed, the data plane takes 1000$/);
    assert.match(misfit?.hint ?? "", /KONG_CLUSTER_MAX_PAYLOAD/);
  });

  it("is not judged by length where it does not say what it takes, as before 3.4", () => {
    const plane = recordedPlane("2.8.5");
    assert.equal(plane.maxPayloadBytes, undefined);
    assert.equal(findMisfit({ frameBytes: 1e9, plugins: new Set(["acl"]) }, plane), undefined);
  });
});
