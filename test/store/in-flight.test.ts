import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { InFlight } from "../../src/store/in-flight.ts";
import { StoreError } from "../../src/store/port.ts";

const never = new AbortController().signal;
const closed = () => new StoreError("STORE_CLOSED", "the store was closed");

/** Work that takes no notice of anything. */
const deaf = () => new Promise<never>(() => {});

describe("requests under way", () => {
  it("give what they give, and leave no listener on the caller's signal", async () => {
    const { signal } = new AbortController();
    const listeners: string[] = [];
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...given: Parameters<typeof addEventListener>) => {
      listeners.push(given[0]);
      addEventListener.apply(signal, given);
    };
    signal.removeEventListener = (...given: Parameters<typeof removeEventListener>) => {
      listeners.pop();
      removeEventListener.apply(signal, given);
    };
    const gate = new AbortController();
    const ended = new InFlight().run(gate, { signal, closed }, async () => {
      assert.deepEqual(listeners, ["abort"]);
      return 7;
    });
    assert.equal(await ended, 7);
    assert.deepEqual(listeners, []);
    assert.equal(gate.signal.aborted, false, "an SDK would close the connection for it");
  });

  it("end at once, with the reason, when their caller or their gate aborts", async () => {
    const caller = new AbortController();
    const inFlight = new InFlight();
    const gate = new AbortController();
    const first = inFlight.run(gate, { signal: caller.signal, closed }, deaf);
    const stop = new Error("stop");
    caller.abort(stop);
    await assert.rejects(first, (error) => error === stop);
    assert.equal(gate.signal.reason, stop);
    const silent = new AbortController();
    const second = inFlight.run(silent, { signal: never, closed }, deaf);
    const late = new Error("too late");
    silent.abort(late);
    await assert.rejects(second, (error) => error === late);
  });

  it("end with the store, and none is begun after that", async () => {
    const inFlight = new InFlight();
    const gate = new AbortController();
    const running = inFlight.run(gate, { signal: never, closed }, deaf);
    inFlight.close();
    inFlight.close();
    await assert.rejects(running, { code: "STORE_CLOSED" });
    assert.equal(gate.signal.aborted, true);
    const work = async () => assert.fail("begun");
    const next = inFlight.run(new AbortController(), { signal: never, closed }, work);
    await assert.rejects(next, { code: "STORE_CLOSED" });
  });

  it("are not begun for a caller that has aborted", async () => {
    const stop = new Error("stop");
    const work = async () => assert.fail("begun");
    const endings = { signal: AbortSignal.abort(stop), closed };
    const running = new InFlight().run(new AbortController(), endings, work);
    await assert.rejects(running, (error) => error === stop);
  });
});
