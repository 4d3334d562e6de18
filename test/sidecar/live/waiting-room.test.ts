import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, it } from "vitest";
import { WaitingRoom } from "../../../src/sidecar/live/waiting-room.ts";

function setUp(names: readonly string[]) {
  const room = new WaitingRoom();
  const calls: string[] = [];
  const planes = names.map((name) => {
    const leave = new AbortController();
    const waited = room.wait(leave.signal).then((call) => calls.push(`${name} ${call}`));
    return { leave, waited };
  });
  return { room, calls, planes, all: () => Promise.all(planes.map(({ waited }) => waited)) };
}

describe("the waiting room", () => {
  it("calls one at a time, in the order they came", async () => {
    const { room, calls, all } = setUp(["a", "b"]);
    assert.equal(room.size, 2);
    assert.equal(room.callFirst(), true);
    assert.equal(room.size, 1);
    assert.equal(room.callFirst(), true);
    assert.equal(room.callFirst(), false);
    await all();
    assert.deepEqual(calls, ["a first", "b first"]);
  });

  it("calls all at once, and tells them so", async () => {
    const { room, calls, all } = setUp(["a", "b", "c"]);
    room.callAll();
    assert.equal(room.size, 0);
    await all();
    assert.deepEqual(calls, ["a all", "b all", "c all"]);
  });

  it("lets whoever comes back wait at the end", async () => {
    const { room, calls, all } = setUp(["a", "b"]);
    room.callFirst();
    const again = room.wait(new AbortController().signal).then((call) => calls.push(`a ${call}`));
    room.callFirst();
    room.callFirst();
    await Promise.all([all(), again]);
    assert.deepEqual(calls, ["a first", "b first", "a first"]);
  });

  it("forgets who left", async () => {
    const { room, calls, planes } = setUp(["a", "b"]);
    const reason = new Error("gone");
    const [a, b] = planes;
    a?.leave.abort(reason);
    await assert.rejects(a?.waited ?? Promise.resolve(), (error) => error === reason);
    assert.equal(room.size, 1);
    room.callFirst();
    await b?.waited;
    assert.deepEqual(calls, ["b first"]);
  });

  it("lets nobody in whose signal has aborted", async () => {
    const room = new WaitingRoom();
    const reason = new Error("gone");
    await assert.rejects(room.wait(AbortSignal.abort(reason)), (error) => error === reason);
    assert.equal(room.size, 0);
  });

  it("leaves no listener on a signal", async () => {
    const { room, planes, all } = setUp(["a", "b"]);
    room.callFirst();
    room.callAll();
    await all();
    for (const { leave } of planes) {
      assert.equal(getEventListeners(leave.signal, "abort").length, 0);
    }
  });
});
