import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { FrameError } from "../../src/kong/reconfigure.ts";
import { SourceError } from "../../src/source/port.ts";
import { updateOf } from "../fakes/config.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { DELAY_MS, down, setUp, until } from "./stage.ts";

const WITHHELD = new SourceError("SOURCE_WITHHELD", "the control plane withholds its config");

/** Saved, and nothing left to do. */
async function upToDate() {
  const t = setUp();
  t.source.emit({ kind: "connected" });
  await t.save(updateOf("a"));
  await t.clock.untilSleeping(DELAY_MS);
  return t;
}

describe("an exporter that was not given what the control plane has", () => {
  it("says so, and lags since it was last known to have it", async () => {
    const t = await upToDate();
    assert.equal(t.exporter.currency.withheld, undefined);
    assert.equal(t.status().lagMs, 0);
    const confirmedAt = t.exporter.currency.confirmedAt;
    assert.ok(confirmedAt);
    await t.clock.advance(60_000);
    t.source.emit({ kind: "withheld", error: WITHHELD });
    await until(t.clock, () => t.seen.includes("withheld"), 0);
    const said = t.log.find("connected, but the control plane sends no config");
    assert.equal(said.length, 1);
    assert.equal(t.exporter.currency.withheld, WITHHELD);
    assert.deepEqual(t.exporter.currency.confirmedAt, confirmedAt);
    const lagMs = t.clock.now().getTime() - confirmedAt.getTime();
    assert.ok(lagMs >= 60_000);
    assert.equal(t.status().lagMs, lagMs);
    // Told again, it lags since the same moment.
    await t.clock.advance(60_000);
    t.source.emit({ kind: "withheld", error: WITHHELD });
    await until(t.clock, () => said.length < t.log.find(said[0]?.message ?? "").length, 0);
    assert.equal(t.status().lagMs, lagMs + 60_000);
    await t.send(updateOf("b"));
    assert.equal(t.exporter.currency.withheld, undefined);
    await t.end();
  });

  it("counts what it could not use as not given", async () => {
    const t = await upToDate();
    const error = new FrameError("FRAME_NOT_JSON", "no JSON");
    t.source.emit({ kind: "rejected", error });
    await until(t.clock, () => t.seen.includes("withheld"), 0);
    assert.equal(t.exporter.currency.withheld, error);
    await t.end();
  });

  it("is up to date again once the control plane has nothing else any more", async () => {
    const t = await upToDate();
    const before = t.exporter.currency.confirmedAt;
    t.source.emit({ kind: "withheld", error: WITHHELD });
    await until(t.clock, () => t.exporter.currency.withheld !== undefined, 0);
    await t.clock.advance(60_000);
    t.source.emit({ kind: "confirmed" });
    await until(t.clock, () => t.exporter.currency.withheld === undefined, 0);
    assert.equal(t.status().lagMs, 0);
    assert.ok(before);
    const { confirmedAt } = t.exporter.currency;
    assert.ok(confirmedAt !== undefined && confirmedAt.getTime() >= before.getTime() + 60_000);
    await t.end();
  });

  it("does not claim to have checked what it could not, and says so once", async () => {
    const t = await upToDate();
    const before = t.exporter.currency.confirmedAt;
    const error = new SourceError("SOURCE_REFUSED", "another certificate");
    t.source.emit({ kind: "unconfirmed", error });
    t.source.emit({ kind: "unconfirmed", error });
    t.source.emit(new SourceError("SOURCE_LOST", "gone"));
    await until(t.clock, () => t.seen.includes("down"), 0);
    const said = t.log.find("cannot check whether the control plane has a newer config");
    assert.equal(said.length, 1);
    assert.deepEqual(t.exporter.currency.confirmedAt, before);
    assert.equal(t.exporter.currency.isConnected, false);
    await t.end();
  });
});

describe("an exporter whose store is down from the start", () => {
  it("does not know what is saved there until it can look", async () => {
    const store = new MemoryStore();
    store.intercept = down;
    const t = setUp({ store });
    await t.send(updateOf("a"));
    assert.equal(t.exporter.hasSaved, false);
    assert.equal(t.exporter.hasLooked, false);
    t.deadline.abort();
    assert.equal(await t.end(), false);
  });

  it("knows of an empty one that there is nothing", async () => {
    const t = setUp();
    await until(t.clock, () => t.exporter.hasLooked);
    assert.equal(t.exporter.hasSaved, false);
    await t.end();
  });
});
