import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { describe, it } from "vitest";
import { Interrupted, insistOnShutdown, onShutdown } from "../../src/runtime/shutdown.ts";

describe("shutting down", () => {
  it("stops at the first signal and reaches the deadline at the second", () => {
    const signals = new EventEmitter();
    using shutdown = onShutdown(signals, 60_000);
    assert.equal(shutdown.stop.aborted, false);
    signals.emit("SIGTERM", "SIGTERM");
    assert.equal(shutdown.stop.aborted, true);
    assert.equal(shutdown.deadline.aborted, false);
    assert.ok(shutdown.stop.reason instanceof Interrupted);
    assert.equal(shutdown.stop.reason.exitStatus, 143);
    signals.emit("SIGINT", "SIGINT");
    assert.equal(shutdown.deadline.aborted, true);
    assert.equal(shutdown.deadline.reason.exitStatus, 130);
  });

  it("reaches the deadline by itself once the time is up", async () => {
    const signals = new EventEmitter();
    using shutdown = onShutdown(signals, 1);
    signals.emit("SIGINT", "SIGINT");
    await once(shutdown.deadline, "abort");
  });

  it("lets go of the process when disposed", () => {
    const signals = new EventEmitter();
    onShutdown(signals, 1)[Symbol.dispose]();
    assert.equal(signals.listenerCount("SIGTERM") + signals.listenerCount("SIGINT"), 0);
  });
});

describe("insisting on it", () => {
  it("ends the process at once, with the status of the signal, where nobody else heeds it", () => {
    const signals = new EventEmitter();
    const left: unknown[] = [];
    insistOnShutdown(signals, 60_000, (status, { message }) => left.push([status, message]));
    signals.emit("SIGTERM", "SIGTERM");
    assert.deepEqual(left, [[143, "stopped by SIGTERM"]]);
  });

  it("leaves a command that heeds signals its time, and ends at the third signal at once", () => {
    const signals = new EventEmitter();
    const left: number[] = [];
    insistOnShutdown(signals, 60_000, (status) => left.push(status));
    using shutdown = onShutdown(signals, 60_000);
    signals.emit("SIGTERM", "SIGTERM");
    signals.emit("SIGINT", "SIGINT");
    assert.ok(shutdown.deadline.aborted);
    assert.deepEqual(left, []);
    signals.emit("SIGTERM", "SIGTERM");
    assert.deepEqual(left, [1]);
  });
});
