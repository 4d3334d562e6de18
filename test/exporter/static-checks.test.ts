import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { type Finding, StaticChecks } from "../../src/exporter/static-checks.ts";
import { JsonSyntaxError } from "../../src/kong/json-members.ts";
import { updateOf, V391 } from "../fakes/config.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { bytesOf, heldIn, savedIn, setUp, until } from "./stage.ts";

const ALARM = "config held back: static checks find it faulty, the current one stays";
const DANGLING = { kind: "reference", message: 'route "r", field service: no such service' };

/** Finds the same in every config, unless told otherwise. */
function scene(mode: "warn" | "refuse", stores: readonly MemoryStore[]) {
  const clock = new ManualClock();
  const log = new RecordingLog();
  const checked: string[] = [];
  const counts: number[] = [];
  const under: { findings: readonly Finding[] } = { findings: [DANGLING] };
  const checks = new StaticChecks({
    mode,
    kongVersion: V391,
    maxBytes: 1_000_000,
    log,
    metrics: { checked: (count) => counts.push(count) },
    check: async (config, version) => {
      assert.equal(version, V391);
      checked.push(Buffer.from(config).toString());
      return under.findings;
    },
  });
  const stage = setUp({ stores, clock, exportDelayMs: 0, gates: [checks] });
  const saved = (update: ReturnType<typeof updateOf>) =>
    until(clock, () => stores.every((store) => savedIn(store) === bytesOf(update)));
  return { ...stage, checkLog: log, checked, counts, under, saved };
}

describe("an exporter with static checks", () => {
  it("checks once for all stores, warns of what is found, and saves all the same", async () => {
    const stores = [new MemoryStore({ url: "memory://a" }), new MemoryStore()];
    const { source, checked, counts, checkLog, saved, end } = scene("warn", stores);
    const update = updateOf("a");
    source.emitConfig(update);
    await saved(update);
    assert.deepEqual(checked, [bytesOf(update)]);
    assert.deepEqual(counts, [1]);
    const [warning] = checkLog.find("warn");
    assert.deepEqual(warning?.fields, {
      configHash: update.configHash,
      findings: 1,
      first: [DANGLING.message],
    });
    await end();
  });

  it("does not warn of the same again, but of others, of which it shows ten", async () => {
    const { source, checkLog, counts, under, saved, end } = scene("warn", [new MemoryStore()]);
    const many = Array.from({ length: 25 }, (_, place) => ({ ...DANGLING, message: `${place}` }));
    for (const [index, findings] of [[DANGLING], [DANGLING], many, []].entries()) {
      under.findings = findings;
      const update = updateOf(`config ${index}`, 1_795_220_000 + index);
      source.emitConfig(update);
      await saved(update);
    }
    assert.deepEqual(counts, [1, 1, 25, 0]);
    const [, second, ...others] = checkLog.find("warn");
    assert.equal(others.length, 0);
    assert.equal(second?.fields["findings"], 25);
    assert.deepEqual(
      second?.fields["first"],
      many.slice(0, 10).map(({ message }) => message),
    );
    await end();
  });

  it("finds what is no JSON without quoting it, and leaves alone what is too long", async () => {
    const { clock, log, source, checkLog, checked, saved, under, end } = scene("warn", [
      new MemoryStore(),
    ]);
    under.findings = [];
    const update = updateOf("a");
    const blanks = Buffer.alloc(1_000_000, " ");
    const long = { ...updateOf("b"), configTable: Buffer.concat([blanks, update.configTable]) };
    source.emitConfig(long);
    await until(clock, () => log.find("config received").length === 1);
    await until(clock, () => checkLog.find("info").length === 1);
    assert.deepEqual(checked, []);
    Object.defineProperty(under, "findings", {
      get: () => assert.fail(new JsonSyntaxError("canary-secret is not JSON", 1)),
    });
    const next = updateOf("c", 1_795_220_100);
    source.emitConfig(next);
    await saved(next);
    assert.deepEqual(checkLog.find("warn")[0]?.fields["first"], ["the config is not JSON"]);
    await end();
  });

  it("holds a faulty config back where that is wanted, and is content with the next good one", async () => {
    const store = new MemoryStore();
    const { source, clock, log, under, saved, status, end } = scene("refuse", [store]);
    source.emitConfig(updateOf("bad"));
    await until(clock, () => heldIn(store).length === 1);
    assert.equal(savedIn(store), "");
    assert.equal(status().heldBy, "checks");
    assert.equal(log.find(ALARM).length, 1);
    assert.equal(
      store.objects.get(heldIn(store)[0] ?? "")?.metadata["held"],
      `checks: ${DANGLING.message}`,
    );
    under.findings = [];
    const good = updateOf("good", 1_795_220_100);
    source.emitConfig(good);
    await saved(good);
    assert.equal(status().heldBy, undefined);
    await end();
  });
});
