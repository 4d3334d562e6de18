/** The job of restoring: who is asked in which order, what is left alone, and what is said. */

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { describe, it } from "vitest";
import { type ImportJob, importConfig } from "../../src/importer/import.ts";
import type { LocalCache } from "../../src/importer/local-cache.ts";
import type { ProbeResult } from "../../src/importer/probe.ts";
import { type Target, TargetError } from "../../src/importer/targets/port.ts";
import { SnapshotError } from "../../src/snapshots/errors.ts";
import type { Snapshot } from "../../src/snapshots/snapshot.ts";
import { SourceError } from "../../src/source/port.ts";
import { StoreError } from "../../src/store/port.ts";
import { snapshotOf } from "../fakes/config.ts";
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

  constructor(steps: string[]) {
    this.steps = steps;
  }

  async apply(snapshot: Snapshot): Promise<"applied" | "unchanged"> {
    this.steps.push("apply");
    if (this.applyError !== undefined) throw this.applyError;
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

function scene(options: {
  readonly cache?: LocalCache;
  readonly probe?: ProbeResult;
  readonly snapshots?: readonly (Snapshot | Error)[];
}) {
  const steps: string[] = [];
  const target = new RecordingTarget(steps);
  const clock = new ManualClock();
  const log = new RecordingLog();
  const { cache, probe, snapshots = [SNAPSHOT] } = options;
  const queue = [...snapshots];
  const answer = <T>(step: string, value: T): T => {
    steps.push(step);
    return value;
  };
  const job: ImportJob = {
    async latest(signal) {
      steps.push("read");
      const next = queue.shift();
      if (next instanceof Error) throw next;
      if (next !== undefined) return next;
      return new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      });
    },
    target,
    probe: probe && (async () => answer("probe", probe)),
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
    });
    assert.deepEqual(steps, ["cache", "probe", "read", "apply"]);
    assert.deepEqual(target.applied, [SNAPSHOT]);
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
