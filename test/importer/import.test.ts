/** The job of restoring: who is asked in which order, what is left alone, and what is said. */

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { describe, it } from "vitest";
import { type ImportJob, importConfig, type Question } from "../../src/importer/import.ts";
import type { LocalCache } from "../../src/importer/local-cache.ts";
import type { ProbeResult } from "../../src/importer/probe.ts";
import { type Target, TargetError } from "../../src/importer/targets/port.ts";
import { SnapshotError } from "../../src/snapshots/errors.ts";
import type { FoundSnapshot, Snapshot } from "../../src/snapshots/snapshot.ts";
import { SourceError } from "../../src/source/port.ts";
import { StoreError } from "../../src/store/port.ts";
import { snapshotOf, V391 } from "../fakes/config.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { RecordingLog } from "../fakes/recording-log.ts";

const SNAPSHOT = snapshotOf("saved", { exportedAt: new Date("2026-11-21T11:59:00Z") });
const CACHED: LocalCache = {
  kind: "config",
  path: "/kong/dbless.lmdb/data.mdb",
  configHash: "abc",
};
const EMPTY: LocalCache = {
  kind: "none",
  path: "/kong/dbless.lmdb/data.mdb",
  reason: "no such file",
};
const REACHABLE: ProbeResult = { kind: "reachable", attempts: 1 };
const UNREACHABLE: ProbeResult = {
  kind: "unreachable",
  attempts: 4,
  error: new SourceError("SOURCE_UNREACHABLE", "connect ECONNREFUSED", { hint: "Look at it." }),
};
const DOWN = new StoreError("STORE_UNAVAILABLE", "s3://bucket does not answer");

/** Keeps what it is given, and the order of all that was done. */
class RecordingTarget implements Target {
  readonly name = "file:/kong.json";
  readonly applied: Snapshot[] = [];
  readonly steps: string[];
  hasOldFile = true;
  withdrawError: unknown;
  applyError: unknown;
  /** Whether it refuses a config, and is left empty. */
  refuses = (_: Snapshot): boolean => false;

  constructor(steps: string[]) {
    this.steps = steps;
  }

  async apply(snapshot: Snapshot): Promise<"applied" | "unchanged"> {
    this.steps.push("apply");
    if (this.applyError !== undefined) throw this.applyError;
    if (this.refuses(snapshot)) {
      throw new TargetError("TARGET_REFUSED", "in 'plugins': no such plugin", { leftEmpty: true });
    }
    this.applied.push(snapshot);
    return this.applied.length === 1 ? "applied" : "unchanged";
  }

  async withdraw(): Promise<boolean> {
    this.steps.push("withdraw");
    if (this.withdrawError !== undefined) throw this.withdrawError;
    return this.hasOldFile;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** What the control plane answers, now or later. */
type Probe = ProbeResult | ((question: Question, signal: AbortSignal) => Promise<ProbeResult>);

function scene(options: {
  readonly cache?: LocalCache;
  readonly probe?: Probe;
  readonly snapshots?: readonly (Snapshot | Error)[];
  readonly earlier?: readonly Snapshot[];
}) {
  const steps: string[] = [];
  const target = new RecordingTarget(steps);
  const clock = new ManualClock();
  const log = new RecordingLog();
  const { cache, probe, snapshots = [SNAPSHOT], earlier = [] } = options;
  const queue = [...snapshots];
  const answer = <T>(step: string, value: T): T => {
    steps.push(step);
    return value;
  };
  const found = (snapshot: Snapshot, id?: string): FoundSnapshot => ({
    ...snapshot,
    kongVersion: V391,
    origin: id === undefined ? { kind: "current" } : { kind: "history", id },
  });
  const job: ImportJob = {
    async latest(signal) {
      steps.push("read");
      const next = queue.shift();
      if (next instanceof Error) throw next;
      if (next !== undefined) return found(next);
      return new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    },
    async *earlier() {
      for (const [index, snapshot] of earlier.entries()) {
        yield answer("read earlier", found(snapshot, `entry ${index}`));
      }
    },
    target,
    probe:
      probe &&
      (async (question, signal) =>
        answer("probe", typeof probe === "function" ? probe(question, signal) : probe)),
    declared: ["acl", "key-auth"],
    localCache: cache && (async () => answer("cache", cache)),
    readTimeoutMs: 30_000,
    clock,
    random: () => 0,
    log,
  };
  const run = (signal = new AbortController().signal) => importConfig(job, signal);
  return { job, run, target, clock, log, steps };
}

describe("importing a config", () => {
  it("asks the data plane's cache, then the control plane, then the store", async () => {
    const { run, target, steps } = scene({ cache: EMPTY, probe: UNREACHABLE });
    assert.deepEqual(await run(), {
      kind: "imported",
      result: "applied",
      changes: undefined,
      bytes: SNAPSHOT.config.length,
      metadata: SNAPSHOT.metadata,
      refused: 0,
    });
    assert.deepEqual(steps, ["cache", "probe", "read", "apply"]);
    assert.deepEqual(
      target.applied.map(({ config }) => config),
      [SNAPSHOT.config],
    );
  });

  it("leaves a data plane alone that has a config, and sets an old file aside", async () => {
    const { run, steps } = scene({ cache: CACHED, probe: UNREACHABLE });
    assert.deepEqual(await run(), { kind: "cached", withdrawn: true });
    assert.deepEqual(steps, ["cache", "withdraw"]);
  });

  it("imports nothing while the control plane lives, and sets an old file aside", async () => {
    const { run, target, steps } = scene({ cache: EMPTY, probe: REACHABLE });
    target.hasOldFile = false;
    assert.deepEqual(await run(), { kind: "live", withdrawn: false });
    assert.deepEqual(steps, ["cache", "probe", "withdraw"]);
  });

  it("asks nobody when it is forced and no prefix is mounted", async () => {
    const { run, steps } = scene({});
    assert.equal((await run()).kind, "imported");
    assert.deepEqual(steps, ["read", "apply"]);
  });

  it("says that the target holds the config already", async () => {
    const { run, job } = scene({ probe: UNREACHABLE, snapshots: [SNAPSHOT, SNAPSHOT] });
    await run();
    const again = await importConfig(job, new AbortController().signal);
    assert.equal(again.kind === "imported" && again.result, "unchanged");
  });

  it("imports a snapshot without metadata, with a warning", async () => {
    const bare: Snapshot = { config: SNAPSHOT.config, metadata: undefined };
    const { run, log } = scene({ probe: UNREACHABLE, snapshots: [bare] });
    const outcome = await run();
    assert.equal(outcome.kind === "imported" && outcome.metadata, undefined);
    assert.equal(log.find("warn").filter(({ message }) => /no metadata/.test(message)).length, 1);
  });

  it("imports where it may not look into the prefix, with a warning that says what to do", async () => {
    const hint = "Run the importer as Kong's user.";
    const cache: LocalCache = { kind: "unreadable", path: "/kong", reason: "EACCES", hint };
    const { run, log } = scene({ cache, probe: UNREACHABLE });
    assert.equal((await run()).kind, "imported");
    const [line] = log.find("warn");
    assert.equal(line?.fields["hint"], hint);
  });

  it("does not let an old file that cannot be moved keep a data plane from starting", async () => {
    const { run, target, log } = scene({ probe: REACHABLE });
    target.withdrawError = new TargetError("TARGET_UNWRITABLE", "read-only");
    assert.deepEqual(await run(), { kind: "live", withdrawn: false });
    assert.match(inspect(log.find("warn")[0]?.fields["err"]), /TARGET_UNWRITABLE/);
  });
});

describe("a control plane that does not answer at once", () => {
  /** Answers when it is told to. */
  function pending() {
    const told: { answer?: (result: ProbeResult) => void; question?: Question } = {};
    const probe = (question: Question, signal: AbortSignal) => {
      told.question = question;
      return new Promise<ProbeResult>((resolve, reject) => {
        told.answer = resolve;
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    };
    return { told, probe };
  }

  it("is given half a second before any store is asked", async () => {
    const { told, probe } = pending();
    const { run, clock, steps } = scene({ probe });
    const outcome = run();
    await clock.advance(499);
    assert.deepEqual(steps, ["probe"]);
    told.answer?.(REACHABLE);
    assert.equal((await outcome).kind, "live");
    assert.deepEqual(steps, ["probe", "withdraw"]);
    assert.equal(clock.sleepers, 0);
  });

  it("is not waited for once it is clear that it is not there and the snapshot is at hand", async () => {
    const { told, probe } = pending();
    const { run, clock, steps } = scene({ probe });
    const outcome = run();
    await clock.advance(500);
    assert.deepEqual(steps, ["probe", "read"]);
    await clock.advance(500);
    assert.ok(UNREACHABLE.kind === "unreachable");
    told.question?.onAbsent?.(UNREACHABLE);
    assert.equal((await outcome).kind, "imported");
    assert.equal(clock.monotonicMs(), 1_000);
    assert.equal(clock.sleepers, 0);
  });

  it("wins with a late answer, while the store is slow", async () => {
    const { told, probe } = pending();
    const { run, clock, target } = scene({ probe, snapshots: [] });
    const outcome = run();
    await clock.advance(1_000);
    assert.ok(UNREACHABLE.kind === "unreachable");
    told.question?.onAbsent?.(UNREACHABLE);
    await clock.advance(1_000);
    told.answer?.(REACHABLE);
    assert.equal((await outcome).kind, "live");
    assert.deepEqual(target.applied, []);
  });

  it("is waited for to the end where there is no snapshot", async () => {
    const { told, probe } = pending();
    const missing = new SnapshotError("SNAPSHOT_MISSING", "nothing saved");
    const { run, clock } = scene({ probe, snapshots: [missing, missing] });
    const outcome = run();
    await clock.advance(1_000);
    assert.ok(UNREACHABLE.kind === "unreachable");
    told.question?.onAbsent?.(UNREACHABLE);
    await clock.advance(8_000);
    told.answer?.(REACHABLE);
    assert.equal((await outcome).kind, "live");
    const again = run();
    await clock.advance(1_000);
    told.answer?.(UNREACHABLE);
    await assert.rejects(again, (error) => error === missing);
  });
});

describe("a control plane that lives", () => {
  const error = new SourceError("SOURCE_WITHHELD", "connected, but no config came");
  const SILENT: ProbeResult = { kind: "silent", attempts: 1, error };
  const config = Buffer.from(
    '{"_format_version":"3.0","plugins":[{"name":"key-auth"},{"name":"mine"},{"name":"off","enabled":false}]}',
  );
  const WITH_OWN_PLUGIN: Snapshot = { config, metadata: SNAPSHOT.metadata };

  it("and withholds its config from this data plane wins: nothing is imported, an old file is set aside, and the reason is told", async () => {
    const probe: ProbeResult = { kind: "withheld", attempts: 1, error };
    const { run, log, steps } = scene({ probe });
    assert.deepEqual(await run(), { kind: "withheld", error, withdrawn: true });
    assert.deepEqual(steps, ["probe", "withdraw"]);
    assert.deepEqual(
      log.find("error").map(({ message, fields }) => [message, fields["err"]]),
      [
        [
          "control plane lives and withholds its config from this data plane, nothing is imported",
          error,
        ],
      ],
    );
  });

  it("and gives nothing to anybody lets a snapshot in", async () => {
    const { run, steps } = scene({ probe: SILENT });
    assert.equal((await run()).kind, "imported");
    assert.deepEqual(steps, ["probe", "read", "apply"]);
  });

  it("is asked again with the plugins of the snapshot, and wins if it gives a config to who has them", async () => {
    const asked: (readonly string[])[] = [];
    const probe = async ({ plugins = [] }: Question): Promise<ProbeResult> => {
      asked.push(plugins);
      return plugins.includes("mine") ? REACHABLE : SILENT;
    };
    const { run, target, log } = scene({ probe, snapshots: [WITH_OWN_PLUGIN] });
    const outcome = await run();
    assert.ok(outcome.kind === "withheld");
    assert.match(outcome.error.message, /only to data planes that have the plugins mine$/);
    assert.match(outcome.error.hint ?? "", /KONG_PLUGINS/);
    assert.deepEqual(asked, [[], ["mine"]]);
    assert.deepEqual(target.applied, []);
    assert.equal(log.find("error").length, 1);
  });

  it("lets a snapshot in that uses a plugin of its own if it gives nothing to who has that either", async () => {
    for (const second of [SILENT, UNREACHABLE]) {
      const probe = async ({ plugins = [] }: Question) => (plugins.length === 0 ? SILENT : second);
      const { run, target } = scene({ probe, snapshots: [WITH_OWN_PLUGIN] });
      assert.equal((await run()).kind, "imported");
      assert.equal(target.applied.length, 1);
    }
  });
});

describe("a target that refuses the newest snapshot and holds nothing", () => {
  const [bad, worse, good, older] = ["bad", "worse", "good", "older"].map((name) =>
    snapshotOf(name),
  );
  assert.ok(bad && worse && good && older);

  it("is given the newest of the history that it takes, loudly", async () => {
    const { run, target, log } = scene({
      probe: UNREACHABLE,
      snapshots: [bad],
      earlier: [worse, good, older],
    });
    target.refuses = ({ config }) => config !== good.config;
    const outcome = await run();
    assert.ok(outcome.kind === "imported");
    assert.equal(outcome.metadata, good.metadata);
    assert.equal(outcome.refused, 2);
    assert.deepEqual(
      target.applied.map(({ config }) => config),
      [good.config],
    );
    assert.deepEqual(
      log.find("error").map(({ message }) => message),
      [
        "target refuses the newest snapshot and holds no config, trying older ones of the history",
        "an older snapshot was imported, for the target refuses what is newer",
      ],
    );
    assert.equal(log.find("error")[1]?.fields["id"], "entry 1");
  });

  it("is left empty where it takes none, with what it said of the newest", async () => {
    const { run, target } = scene({ snapshots: [bad], earlier: [worse, older] });
    target.refuses = () => true;
    await assert.rejects(run(), (error) => error instanceof TargetError && error.leftEmpty);
    assert.deepEqual(target.applied, []);
  });

  it("is offered no more than 20 of them", async () => {
    const { run, target, steps } = scene({ snapshots: [bad], earlier: Array(50).fill(worse) });
    target.refuses = () => true;
    await assert.rejects(run(), TargetError);
    assert.equal(steps.filter((step) => step === "apply").length, 21);
  });

  it("is left alone where something else is wrong, or it holds a config", async () => {
    const { run, target, steps } = scene({ snapshots: [bad], earlier: [good] });
    target.applyError = new TargetError("TARGET_REFUSED", "in 'plugins': no such plugin");
    await assert.rejects(run(), (error) => error === target.applyError);
    assert.ok(!steps.includes("read earlier"));
  });
});

describe("reading the snapshot", () => {
  it("is tried again while the store does not answer", async () => {
    const { run, clock, steps, log } = scene({ snapshots: [DOWN, DOWN, SNAPSHOT] });
    const outcome = run();
    await clock.advance(1_000);
    assert.equal((await outcome).kind, "imported");
    assert.deepEqual(steps, ["read", "read", "read", "apply"]);
    assert.equal(log.find("snapshot not read, trying again").length, 2);
    assert.equal(clock.sleepers, 0);
  });

  it("is given up in time, with the store's own error and the target untouched", async () => {
    const { run, clock, target } = scene({ snapshots: Array(99).fill(DOWN) });
    const outcome = assert.rejects(run(), (error) => error === DOWN);
    await clock.advance(30_000);
    await outcome;
    assert.deepEqual(
      target.steps.filter((step) => step !== "read"),
      [],
    );
  });

  it("is given up in time where the store hangs", async () => {
    const { run, clock } = scene({ snapshots: [] });
    const outcome = assert.rejects(run(), (error) => {
      assert.ok(error instanceof StoreError);
      assert.equal(error.code, "STORE_UNAVAILABLE");
      assert.equal(error.message, "no store gave a snapshot within 30 s");
      return true;
    });
    await clock.advance(30_000);
    await outcome;
  });

  it("is not repeated where it cannot help", async () => {
    const corrupt = new SnapshotError("SNAPSHOT_CORRUPT", "digest differs");
    const { run, steps } = scene({ snapshots: [corrupt, SNAPSHOT] });
    await assert.rejects(run(), (error) => error === corrupt);
    assert.deepEqual(steps, ["read"]);
  });

  it("ends with the reason of an abort, and applies nothing", async () => {
    const { run, clock, steps } = scene({ snapshots: [DOWN] });
    const controller = new AbortController();
    const reason = new Error("stop");
    const outcome = assert.rejects(run(controller.signal), (error) => error === reason);
    await clock.untilSleeping(500);
    controller.abort(reason);
    await outcome;
    assert.deepEqual(steps, ["read"]);
  });
});

describe("what the importer says", () => {
  it("is one line for each step, with constant text and the data in fields", async () => {
    const { run, log } = scene({ cache: EMPTY, probe: UNREACHABLE });
    await run();
    assert.deepEqual(
      log.lines.map(({ level, message }) => [level, message]),
      [
        ["info", "data plane has no config of its own"],
        ["warn", "control plane is unreachable"],
        ["info", "snapshot read"],
        ["info", "config imported"],
      ],
    );
    const [, down, read] = log.lines;
    assert.equal(down?.fields["attempts"], 4);
    assert.match(inspect(down?.fields["err"]), /connect ECONNREFUSED.*Look at it\./s);
    assert.equal(read?.fields["ageSeconds"], 60);
    assert.equal(read?.fields["kongVersion"], "3.9.1");
  });

  it("never holds the config", async () => {
    const { run, log, target } = scene({ cache: EMPTY, probe: UNREACHABLE });
    target.applyError = new TargetError("TARGET_FULL", "no space");
    await assert.rejects(run(), TargetError);
    assert.ok(!JSON.stringify(log.lines).includes("services"));
  });
});
