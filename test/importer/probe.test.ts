/** Whether the control plane is there: one answer within one budget, over any number of attempts. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { type ProbeMode, type ProbeResult, probeControlPlane } from "../../src/importer/probe.ts";
import { FrameError } from "../../src/kong/reconfigure.ts";
import {
  type ConfigSource,
  SourceError,
  type SourceErrorCode,
  type SourceEvent,
} from "../../src/source/port.ts";
import { updateOf } from "../fakes/config.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { ScriptedSource } from "../fakes/scripted-source.ts";

const CONNECTED = { kind: "connected" } as const;
const REFUSED = new SourceError("SOURCE_UNREACHABLE", "connect ECONNREFUSED 10.0.0.1:8005");

function probe(source: ConfigSource, mode: ProbeMode = "handshake", signal?: AbortSignal) {
  const clock = new ManualClock();
  const log = new RecordingLog();
  // The shortest delays: 0.5 s each.
  const options = { mode, timeoutMs: 10_000, clock, random: () => 0, log };
  const result = probeControlPlane(source, options, signal ?? new AbortController().signal);
  return { clock, log, result };
}

function errorOf(
  result: ProbeResult,
  kind: "unreachable" | "silent" = "unreachable",
): { readonly code: string; readonly message: string } {
  assert.equal(result.kind, kind);
  return result.kind === kind ? result.error : assert.fail();
}

describe("the probe by handshake", () => {
  it("is content with a session, and asks for nothing more", async () => {
    const source = new ScriptedSource();
    source.emit(CONNECTED);
    source.emit(new Error("the session was not left"));
    const { result, clock } = probe(source);
    assert.deepEqual(await result, { kind: "reachable", attempts: 1 });
    assert.equal(clock.sleepers, 0);
  });

  it("tries again while nothing answers", async () => {
    const source = new ScriptedSource();
    for (const event of [REFUSED, REFUSED, CONNECTED]) source.emit(event);
    const { result, clock, log } = probe(source);
    await clock.advance(500);
    await clock.advance(500);
    assert.deepEqual(await result, { kind: "reachable", attempts: 3 });
    const line = { attempt: 1, delayMs: 500 };
    const [first, ...others] = log.find("control plane did not answer, trying again");
    assert.equal(others.length, 1);
    assert.deepEqual({ ...first?.fields, ...line }, first?.fields);
  });

  it("gives the last failure once the time is used up", async () => {
    const source = new ScriptedSource();
    for (let attempt = 0; attempt < 99; attempt += 1) source.emit(REFUSED);
    const { result, clock } = probe(source);
    await clock.advance(10_000);
    // At 0, 0.5, 1.0 … 9.5 s; the next would be due when the time is over.
    assert.deepEqual(await result, { kind: "unreachable", attempts: 20, error: REFUSED });
    assert.equal(clock.sleepers, 0);
  });

  it("says so when a control plane takes the connection and stays silent", async () => {
    const source = new ScriptedSource();
    const { result, clock } = probe(source);
    await clock.advance(10_000);
    const error = errorOf(await result);
    assert.equal(error.code, "SOURCE_UNREACHABLE");
    assert.equal(
      error.message,
      "the control plane control-plane:8005 as 3.9.1 did not answer within 10 s",
    );
  });

  it.each<SourceErrorCode>(["SOURCE_TLS", "SOURCE_REFUSED", "SOURCE_NOT_FOUND", "SOURCE_PROXY"])(
    "does not wait for %s to go away",
    async (code) => {
      const source = new ScriptedSource();
      const error = new SourceError(code, "no");
      source.emit(error);
      assert.deepEqual(await probe(source).result, { kind: "unreachable", attempts: 1, error });
    },
  );

  it("waits as long as a busy control plane asks", async () => {
    const source = new ScriptedSource();
    source.emit(new SourceError("SOURCE_BUSY", "503", { retryAfterMs: 4_000 }));
    source.emit(CONNECTED);
    const { result, clock } = probe(source);
    await clock.advance(3_999);
    assert.equal(source.sessions, 1);
    await clock.advance(1);
    assert.deepEqual(await result, { kind: "reachable", attempts: 2 });
  });

  it("gives an earlier failure rather than the silence of the last session", async () => {
    const source = new ScriptedSource();
    source.emit(REFUSED);
    const { result, clock } = probe(source);
    await clock.advance(10_000);
    assert.deepEqual(await result, { kind: "unreachable", attempts: 2, error: REFUSED });
  });

  it("does not wait for a source that takes no notice of its signal", async () => {
    const source: ConfigSource = {
      name: "control-plane:8005",
      watch: async function* () {
        await new Promise(() => {});
      },
      acknowledge: () => {},
      [Symbol.asyncDispose]: async () => {},
    };
    const { result, clock } = probe(source);
    await clock.advance(10_000);
    assert.match(errorOf(await result).message, /did not answer within 10 s$/);
    const controller = new AbortController();
    const stopped = probe(source, "handshake", controller.signal).result;
    const reason = new Error("stop");
    controller.abort(reason);
    await assert.rejects(stopped, (error) => error === reason);
  });

  it("does not sit out a wait that ends after its time", async () => {
    const source = new ScriptedSource();
    const error = new SourceError("SOURCE_BUSY", "503", { retryAfterMs: 60_000 });
    source.emit(error);
    assert.deepEqual(await probe(source).result, { kind: "unreachable", attempts: 1, error });
  });

  it("rejects with the reason of an abort, in a session and between two", async () => {
    const reason = new Error("stop");
    for (const prepare of [() => {}, (source: ScriptedSource) => source.emit(REFUSED)]) {
      const controller = new AbortController();
      const source = new ScriptedSource();
      prepare(source);
      const { result, clock } = probe(source, "handshake", controller.signal);
      await clock.advance(1);
      controller.abort(reason);
      await assert.rejects(result, (error) => error === reason);
      assert.equal(clock.sleepers, 0);
    }
  });

  it("does not hide a bug as an outage", async () => {
    const source = new ScriptedSource();
    source.emit(new TypeError("x is not a function"));
    await assert.rejects(probe(source).result, TypeError);
  });
});

describe("the probe by config", () => {
  const WITHHELD = new SourceError("SOURCE_WITHHELD", "connected, but no config came");

  it("is not content with a session", async () => {
    const source = new ScriptedSource();
    source.emit(CONNECTED);
    const { result, clock } = probe(source, "config");
    await clock.advance(10_000);
    assert.match(errorOf(await result, "silent").message, /sent no config within 10 s$/);
  });

  it("is content with a config", async () => {
    const source = new ScriptedSource();
    source.emit(CONNECTED);
    source.emitConfig(updateOf("a"));
    assert.deepEqual(await probe(source, "config").result, { kind: "reachable", attempts: 1 });
  });

  it("still takes a config after one was withheld or a bad frame came", async () => {
    const source = new ScriptedSource();
    const rejected = new FrameError("FRAME_CORRUPT", "truncated");
    source.emit({ kind: "withheld", error: WITHHELD });
    source.emit({ kind: "rejected", error: rejected });
    const { result, clock } = probe(source, "config");
    await clock.advance(9_000);
    source.emitConfig(updateOf("a"));
    assert.deepEqual(await result, { kind: "reachable", attempts: 1 });
  });

  it("tells why the config was withheld if none came", async () => {
    const source = new ScriptedSource();
    source.emit(CONNECTED);
    source.emit({ kind: "withheld", error: WITHHELD });
    const { result, clock } = probe(source, "config");
    await clock.advance(10_000);
    assert.deepEqual(await result, { kind: "silent", attempts: 1, error: WITHHELD });
  });

  it("tells a later failure rather than what an earlier session said", async () => {
    const refused = new SourceError("SOURCE_TLS", "untrusted");
    const lost = new SourceError("SOURCE_BUSY", "503", { retryAfterMs: 60_000 });
    for (const failure of [refused, lost]) {
      const source = new ScriptedSource();
      source.emit(CONNECTED);
      source.emit({ kind: "withheld", error: WITHHELD });
      source.emit(new SourceError("SOURCE_LOST", "it closed"));
      source.emit(failure);
      const { result, clock } = probe(source, "config");
      await clock.advance(500);
      assert.deepEqual(await result, { kind: "unreachable", attempts: 2, error: failure });
    }
  });

  it("tells what the open session said rather than an earlier failure", async () => {
    const source = new ScriptedSource();
    source.emit(REFUSED);
    source.emit(CONNECTED);
    source.emit({ kind: "withheld", error: WITHHELD });
    const { result, clock } = probe(source, "config");
    await clock.advance(10_000);
    assert.deepEqual(await result, { kind: "silent", attempts: 2, error: WITHHELD });
  });

  it.each([
    [
      "by its own word",
      new SourceError("SOURCE_WITHHELD", "it lacks a plugin", { retryable: false }),
    ],
    ["in a frame too large for us", new SourceError("SOURCE_FRAME_TOO_LARGE", "more than 16 MiB")],
  ])(
    "does not wait where a control plane that lives gives this data plane nothing: %s",
    async (_, error) => {
      const source = new ScriptedSource();
      source.emit(CONNECTED);
      if (error.code === "SOURCE_WITHHELD") source.emit({ kind: "withheld", error });
      else source.emit(error);
      const answer = await probe(source, "config").result;
      assert.deepEqual(answer, { kind: "withheld", attempts: 1, error });
    },
  );

  it("counts a config that is too long for us as withheld: others may take it", async () => {
    const source = new ScriptedSource();
    const error = new FrameError("FRAME_TOO_LARGE", "unpacks to more than 256 MiB");
    source.emit(CONNECTED);
    source.emit({ kind: "rejected", error });
    const answer = await probe(source, "config").result;
    assert.deepEqual(answer, { kind: "withheld", attempts: 1, error });
  });

  it("believes that a version is refused when a second session says so: one that stops ends sessions, too", async () => {
    const error = new SourceError("SOURCE_REFUSED", "closed right after it was told 3.10.0");
    const refusing = new ScriptedSource();
    for (const event of [CONNECTED, error, CONNECTED, error]) refusing.emit(event);
    const refused = probe(refusing, "config");
    await refused.clock.advance(500);
    assert.deepEqual(await refused.result, { kind: "withheld", attempts: 2, error });
    const restarting = new ScriptedSource();
    for (const event of [CONNECTED, error, CONNECTED]) restarting.emit(event);
    restarting.emitConfig(updateOf("a"));
    const { result, clock } = probe(restarting, "config");
    await clock.advance(500);
    assert.deepEqual(await result, { kind: "reachable", attempts: 2 });
  });
});

describe("a control plane that is not there", () => {
  const refusals = (...codes: readonly string[]) =>
    codes.map((code) => Object.assign(new Error(code), { code }));
  const unreachable = (cause: unknown) =>
    new SourceError("SOURCE_UNREACHABLE", "cannot connect", { cause });
  const [nobody, unknown] = refusals("ECONNREFUSED", "ENOTFOUND").map(unreachable);
  const everywhere = unreachable(new AggregateError(refusals("ECONNREFUSED", "ECONNREFUSED")));
  const halfRouted = unreachable(new AggregateError(refusals("ECONNREFUSED", "ENETUNREACH")));
  const hungUp = unreachable(new Error("TLS failed", { cause: refusals("ECONNRESET")[0] }));
  const partly = unreachable(new AggregateError(refusals("ECONNREFUSED", "ETIMEDOUT")));

  async function absencesAt(events: readonly (SourceEvent | Error | undefined)[], ms: number) {
    const source = new ScriptedSource();
    for (const event of events) source.emit(event ?? assert.fail());
    const clock = new ManualClock();
    const absences: unknown[] = [];
    const stop = new AbortController();
    const answer = probeControlPlane(
      source,
      {
        mode: "config",
        timeoutMs: 10_000,
        clock,
        random: () => 0,
        log: new RecordingLog(),
        onAbsent: ({ error }) => absences.push(error),
      },
      stop.signal,
    );
    await clock.advance(ms);
    stop.abort(new Error("stop"));
    await assert.rejects(answer, /stop/);
    assert.equal(clock.sleepers, 0);
    return absences;
  }

  it.each([
    ["refuses", nobody],
    ["refuses at every address", everywhere],
    ["has no address", unknown],
    ["refuses at one address, and there is no way to the other", halfRouted],
    ["hangs up in place of TLS, as a load balancer with nobody behind it does", hungUp],
  ])("is known after a second of attempts, while the question goes on: it %s", async (_, error) => {
    const events = Array(5).fill(error);
    assert.deepEqual(await absencesAt(events, 999), []);
    assert.equal((await absencesAt(events, 1_000))[0], error);
  });

  it("is not known where one address is silent, one attempt met something else, or there was only one", async () => {
    assert.deepEqual(await absencesAt(Array(9).fill(partly), 3_000), []);
    assert.deepEqual(await absencesAt([nobody, partly, nobody, partly], 1_400), []);
    assert.deepEqual(await absencesAt([nobody], 5_000), []);
  });

  it("is not known where it takes sessions and breaks them off", async () => {
    const [cause] = refusals("ECONNRESET");
    const lost = new SourceError("SOURCE_LOST", "the connection broke off", { cause });
    const events = Array(5).fill([CONNECTED, lost]).flat();
    assert.deepEqual(await absencesAt(events, 2_400), []);
  });
});
