import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { type Gate, Gates } from "../../src/exporter/gates.ts";
import type { GateName } from "../../src/exporter/metrics.ts";
import { updateOf } from "../fakes/config.ts";
import { candidateOf } from "./stage.ts";

const { signal } = new AbortController();
const candidate = (name: string) => candidateOf(updateOf(name));

/** One that holds the configs of these names. */
function gateAgainst(name: GateName, ...names: readonly string[]) {
  const held = new Set(names.map((it) => candidate(it).config.id));
  const asked: string[] = [];
  const gate: Gate = {
    name,
    examine: async ({ config: { id } }) => {
      asked.push(id);
      if (held.has(id)) return { kind: "held", reasons: [`${name} says no`] };
      return { kind: "pass", ...(name === "rehearsal" ? { rehearsed: true } : {}) };
    },
  };
  return { gate, held, asked };
}

/** The decision in a word, as the alarm sees it. */
async function decide(gates: Gates, name: string): Promise<string> {
  const decision = await gates.decide(candidate(name), signal);
  if (decision.kind === "held") return decision.isNew ? "alarm" : "held";
  return decision.cleared === undefined ? "pass" : "cleared";
}

describe("a row of gates", () => {
  it("alarms once for a config, however often it comes, and again for another", async () => {
    const gates = new Gates([gateAgainst("guard", "bad", "worse").gate]);
    const decisions: string[] = [];
    for (const name of ["bad", "bad", "worse", "worse", "bad"]) {
      decisions.push(await decide(gates, name));
    }
    assert.deepEqual(decisions, ["alarm", "held", "alarm", "held", "alarm"]);
    assert.equal(gates.held?.id, candidate("bad").config.id);
    assert.deepEqual(gates.held?.reasons, ["guard says no"]);
  });

  it("forgets what is held when a config passes", async () => {
    const gates = new Gates([gateAgainst("guard", "bad").gate]);
    assert.equal(await decide(gates, "bad"), "alarm");
    assert.equal(await decide(gates, "good"), "cleared");
    assert.equal(gates.held, undefined);
    assert.equal(await decide(gates, "good"), "pass");
    assert.equal(await decide(gates, "bad"), "alarm");
  });

  it("asks one gate after the other, the next only where none before holds the config", async () => {
    const [guard, checks] = [gateAgainst("guard", "a"), gateAgainst("checks", "b")];
    const gates = new Gates([guard.gate, checks.gate]);
    assert.equal(await decide(gates, "a"), "alarm");
    assert.equal(gates.held?.by, "guard");
    assert.equal(checks.asked.length, 0);
    assert.equal(await decide(gates, "b"), "alarm");
    assert.equal(gates.held?.by, "checks");
    assert.equal(guard.asked.length, 2);
  });

  it("alarms anew where another gate holds the same config", async () => {
    const [guard, checks] = [gateAgainst("guard", "a"), gateAgainst("checks", "a")];
    const gates = new Gates([guard.gate, checks.gate]);
    assert.equal(await decide(gates, "a"), "alarm");
    guard.held.clear();
    assert.equal(await decide(gates, "a"), "alarm");
    assert.equal(gates.held?.by, "checks");
  });

  it("holds nothing back that is current already, and does not call it rehearsed", async () => {
    const rehearsal = gateAgainst("rehearsal", "bad");
    const gates = new Gates([rehearsal.gate]);
    assert.equal(await decide(gates, "bad"), "alarm");
    const bad = await gates.decide({ ...candidate("bad"), isCurrent: true }, signal);
    assert.ok(bad.kind === "pass" && !bad.rehearsed && bad.cleared !== undefined);
    assert.equal(rehearsal.asked.length, 2);
    const good = await gates.decide(candidate("good"), signal);
    assert.ok(good.kind === "pass" && good.rehearsed);
  });
});
