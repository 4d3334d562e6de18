import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { Admission, type Gate } from "../../src/exporter/admission.ts";
import { Arrival } from "../../src/exporter/arrival.ts";
import type { GateName } from "../../src/exporter/metrics.ts";
import { updateOf, V391 } from "../fakes/config.ts";
import { RecordingLog } from "../fakes/recording-log.ts";

const signal = new AbortController().signal;

function candidate(name: string) {
  const receipt = { order: 1, at: new Date(0), monotonicMs: 0 };
  const options = { kongVersion: V391, exporterId: "e", hashCheckMaxBytes: 0 };
  const log = new RecordingLog();
  const arrival = new Arrival(updateOf(name), receipt, { ...options, log });
  return { arrival, isRehearsed: false, currentCounts: async () => undefined };
}

/** One that holds the configs of these names. */
function gateAgainst(name: GateName, ...names: readonly string[]) {
  const held = new Set(names.map((it) => candidate(it).arrival.id));
  const asked: string[] = [];
  const gate: Gate = {
    name,
    examine: async ({ arrival: { id } }) => {
      asked.push(id);
      if (held.has(id)) return { kind: "held", reasons: [`${name} says no`] };
      return { kind: "pass", ...(name === "rehearsal" ? { rehearsed: true } : {}) };
    },
  };
  return { gate, held, asked };
}

/** The outcome in a word, as the alarm sees it. */
async function outcome(under: Admission, name: string, isCurrent = false): Promise<string> {
  const admitted = await under.admit(candidate(name), isCurrent, signal);
  if (admitted.kind === "held") return admitted.isNew ? "alarm" : "held";
  return admitted.cleared === undefined ? "pass" : "cleared";
}

describe("the admission of configs", () => {
  it("alarms once for a config, however often it comes, and again for another", async () => {
    const under = new Admission([gateAgainst("guard", "bad", "worse").gate]);
    const outcomes: string[] = [];
    for (const name of ["bad", "bad", "worse", "worse", "bad"]) {
      outcomes.push(await outcome(under, name));
    }
    assert.deepEqual(outcomes, ["alarm", "held", "alarm", "held", "alarm"]);
    assert.equal(under.held?.id, candidate("bad").arrival.id);
    assert.deepEqual(under.held?.reasons, ["guard says no"]);
  });

  it("forgets what is held when a config passes", async () => {
    const under = new Admission([gateAgainst("guard", "bad").gate]);
    assert.equal(await outcome(under, "bad"), "alarm");
    assert.equal(await outcome(under, "good"), "cleared");
    assert.equal(under.held, undefined);
    assert.equal(await outcome(under, "good"), "pass");
    assert.equal(await outcome(under, "bad"), "alarm");
  });

  it("asks one gate after the other, the next only where none before holds the config", async () => {
    const [guard, checks] = [gateAgainst("guard", "a"), gateAgainst("checks", "b")];
    const under = new Admission([guard.gate, checks.gate]);
    assert.equal(await outcome(under, "a"), "alarm");
    assert.equal(under.held?.by, "guard");
    assert.equal(checks.asked.length, 0);
    assert.equal(await outcome(under, "b"), "alarm");
    assert.equal(under.held?.by, "checks");
    assert.equal(guard.asked.length, 2);
  });

  it("alarms anew where another gate holds the same config", async () => {
    const [guard, checks] = [gateAgainst("guard", "a"), gateAgainst("checks", "a")];
    const under = new Admission([guard.gate, checks.gate]);
    assert.equal(await outcome(under, "a"), "alarm");
    guard.held.clear();
    assert.equal(await outcome(under, "a"), "alarm");
    assert.equal(under.held?.by, "checks");
  });

  it("holds nothing back that is current already, and does not call it rehearsed", async () => {
    const rehearsal = gateAgainst("rehearsal", "bad");
    const under = new Admission([rehearsal.gate]);
    assert.equal(await outcome(under, "bad"), "alarm");
    const admitted = await under.admit(candidate("bad"), true, signal);
    assert.ok(admitted.kind === "pass" && !admitted.rehearsed && admitted.cleared !== undefined);
    assert.equal(rehearsal.asked.length, 2);
    const good = await under.admit(candidate("good"), false, signal);
    assert.ok(good.kind === "pass" && good.rehearsed);
  });
});
