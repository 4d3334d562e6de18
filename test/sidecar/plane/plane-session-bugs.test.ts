/** A bug in what goes on beside a session ends that session, and is said: it is never swallowed. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { HASH } from "../../source/harness.ts";
import { Stage, type StageOptions } from "../stage.ts";

const FAILED = "data plane's session failed, it will connect again";
const bug = new TypeError("a bug");
const fails = (): never => {
  throw bug;
};

async function openStage(options: StageOptions): Promise<Stage> {
  const stage = await Stage.open(options);
  stage.bugs.push(bug);
  return stage;
}

describe("a bug", () => {
  it("in the delivery of a snapshot", async () => {
    await using stage = await openStage({ metrics: { resent: fails } });
    await stage.shelve("a");
    const plane = await stage.plane({ behaviour: { race: 1 } });
    await plane.until(() => plane.refused.length === 1);
    await stage.pass(10_000);
    assert.equal((await stage.said(FAILED))["err"], bug);
    await plane.closed;
  });

  it("at the end of a delivery", async () => {
    await using stage = await openStage({ metrics: { served: fails } });
    await stage.shelve("a");
    const plane = await stage.plane();
    assert.equal((await stage.said(FAILED))["err"], bug);
    await plane.closed;
  });

  it("in the watch on a control plane that sends no config", async () => {
    await using stage = await openStage({ behind: {} });
    const plane = await stage.plane({ hash: HASH });
    const upstream = await stage.upstreamOf(plane);
    stage.shelf.newest = fails;
    await stage.pass(10_000);
    assert.equal((await stage.said(FAILED))["err"], bug);
    await plane.closed;
    await upstream.ended();
  });
});
