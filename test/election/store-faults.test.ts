/** The election by a lease in a store that fails, refuses, or answers when it is too late. */

import assert from "node:assert/strict";
import { beforeEach, describe, it } from "vitest";
import { ElectionError } from "../../src/election/port.ts";
import { StoreError } from "../../src/store/port.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { Runner } from "./conformance/stage.ts";
import { StoreWorld, TTL_MS } from "./store-world.ts";

const FIVE_MINUTES_MS = 5 * 60_000;

let store: MemoryStore;
let world: StoreWorld;

beforeEach(() => {
  store = new MemoryStore();
  world = new StoreWorld(store);
});

describe("a store without working conditions", () => {
  it("ends the campaign with ELECTION_UNSAFE, and is not written", async () => {
    const { runner } = await world.run({ conditional: async () => false });
    const error = runner.ended?.error;
    assert.ok(error instanceof ElectionError, String(error));
    assert.equal(error.code, "ELECTION_UNSAFE");
    assert.equal(error.exitStatus, 2);
    assert.match(error.hint ?? "", /KONG_FALLBACK_ELECTION=off/);
    assert.equal(store.objects.size, 0);
  });

  it("is asked again while it does not answer", async () => {
    let asked = 0;
    const conditional = async () => {
      asked += 1;
      if (asked < 3) throw new StoreError("STORE_UNAVAILABLE", "down");
      return true;
    };
    const { runner, log } = await world.run({ conditional });
    await world.pass(TTL_MS);
    assert.equal(asked, 3);
    assert.ok(runner.isHolder);
    assert.equal(log.find("warn").length, 1);
  });
});

describe("a store that does not answer", () => {
  it("is what to look at", async () => {
    const { contender, log } = await world.run();
    contender.cutOff("silent");
    await world.pass(TTL_MS);
    const error = log.find("warn")[0]?.fields["err"];
    assert.ok(error instanceof ElectionError, String(error));
    assert.equal(error.code, "ELECTION_UNAVAILABLE");
    assert.match(error.message, /^could not renew .*lease\.json: no answer within 5 s$/);
    assert.match(error.hint ?? "", /^Look at the store and the network; /);
  });
});

describe("a store that refuses", () => {
  it("everything is an error once, and again every five minutes", async () => {
    store.intercept = async () => {
      throw new StoreError("STORE_DENIED", "no permission");
    };
    const { runner, log } = await world.run();
    await world.pass(FIVE_MINUTES_MS - 20_000);
    assert.equal(log.find("error").length, 1);
    await world.pass(40_000);
    assert.equal(log.find("error").length, 2);
    assert.equal(log.find("warn").length, 0);
    store.intercept = async () => {};
    await world.pass(TTL_MS);
    assert.ok(runner.isHolder);
  });

  it("the holder's writes makes it step down, and is an error once", async () => {
    const { runner, log } = await world.run();
    store.intercept = async (operation) => {
      if (operation === "put") throw new StoreError("STORE_DENIED", "no permission to write");
    };
    await world.pass(TTL_MS);
    assert.deepEqual(runner.told, [
      { kind: "holder", token: 1 },
      { kind: "follower", holder: undefined },
    ]);
    assert.equal(log.find("error").length, 1);
    assert.deepEqual(log.find("lease lost, this exporter writes no more")[0]?.fields, {
      fencingToken: 1,
      reason: "it could not be renewed in time",
    });
  });

  it("every renewal as if it came too late makes the holder step down", async () => {
    const { runner, log } = await world.run();
    store.intercept = async (operation) => {
      if (operation === "put") throw new StoreError("STORE_PRECONDITION_FAILED", "too late");
    };
    await world.pass(TTL_MS);
    assert.deepEqual(
      runner.told.map(({ kind }) => kind),
      ["holder", "follower"],
    );
    const [said] = log.find("election fails, will try again");
    assert.match(`${said?.fields["err"]}`, /could not renew .*: it keeps changing/);
  });

  it("every write as if it came too late is not hammered", async () => {
    store.intercept = async (operation) => {
      if (operation === "put") throw new StoreError("STORE_PRECONDITION_FAILED", "too late");
    };
    const { contender } = await world.run();
    await world.pass(60_000);
    assert.ok(contender.requests >= 60 && contender.requests <= 260, `${contender.requests}`);
  });
});

describe("a renewal that fails", () => {
  /** When the renewals began, by the clock of the world, with the longest waits between them. */
  async function renewals(fails: (attempt: number) => boolean) {
    const { runner } = await world.run({ random: () => 0.999_999 });
    const begunAtMs: number[] = [];
    store.intercept = async (operation) => {
      if (operation !== "put") return;
      begunAtMs.push(world.clock.monotonicMs());
      if (fails(begunAtMs.length)) throw new StoreError("STORE_UNAVAILABLE", "down");
    };
    await world.pass(TTL_MS);
    assert.deepEqual(runner.told, [{ kind: "holder", token: 1 }]);
    return begunAtMs;
  }

  it("is tried again after a time that not all holders share, even the first", async () => {
    const [first = 0, second = 0] = await renewals((attempt) => attempt === 1);
    assert.equal(first, TTL_MS / 3);
    assert.equal(second - first, TTL_MS / 30);
  });

  it("is tried again soon where it is the first after a good one, whatever came before", async () => {
    const begunAtMs = await renewals((attempt) => attempt <= 2 || attempt === 4);
    const [first = 0, second = 0, third = 0, fourth = 0, fifth = 0] = begunAtMs;
    assert.deepEqual([second - first, third - second], [TTL_MS / 30, TTL_MS / 15]);
    assert.equal(fourth - third, TTL_MS / 3);
    assert.equal(fifth - fourth, TTL_MS / 30);
  });
});

describe("an answer that comes when it is too late", () => {
  it("to a renewal does not keep a holder that stood still meanwhile", async () => {
    const { runner, contender } = await world.run();
    store.intercept = async (operation) => {
      if (operation === "put") contender.pause();
    };
    await world.pass(TTL_MS / 3);
    store.intercept = async () => {};
    await world.pass(TTL_MS);
    assert.ok(runner.isHolder, "it stands still");
    contender.cutOff("silent");
    contender.resume();
    await world.advance(0);
    assert.equal(runner.isHolder, false);
  });

  it("to an acquisition does not make a holder of one that stood still meanwhile", async () => {
    const contender = await world.join();
    store.intercept = async (operation) => {
      if (operation === "put") contender.pause();
    };
    const slow = new Runner(contender, () => {});
    await world.advance(0);
    store.intercept = async () => {};
    const { runner: other } = await world.run();
    await world.pass(TTL_MS * 2);
    assert.equal(other.token, 2);
    contender.resume();
    await world.pass(TTL_MS);
    assert.deepEqual(
      slow.told.map(({ kind }) => kind),
      ["follower"],
    );
  });
});

describe("a machine that stood still while it was answered, which its timers have not noticed", () => {
  it("is no holder if the lease it acquired may have expired", async () => {
    const machine = jumpingClock();
    store.intercept = async (operation) => {
      if (operation === "put" && machine.jumpMs === 0) machine.jumpMs = TTL_MS;
    };
    const { runner } = await world.run(machine);
    assert.deepEqual(runner.told, []);
    await world.pass(TTL_MS);
    assert.deepEqual(runner.told, [{ kind: "holder", token: 2 }]);
  });

  it("holds for no longer after a renewal than if the answer had come at once", async () => {
    const machine = jumpingClock();
    const { runner, contender } = await world.run(machine);
    store.intercept = async (operation) => {
      if (operation === "put") machine.jumpMs = 4_000;
    };
    await world.pass(TTL_MS / 3);
    assert.equal(machine.jumpMs, 4_000);
    contender.cutOff("silent");
    await world.pass((TTL_MS * 4) / 5 - 4_000);
    assert.equal(runner.isHolder, false);
  });
});

describe("a renewal whose answer was lost", () => {
  it("counts from when it was written, not from when that was found out", async () => {
    await using stage = await world.stage();
    const { holder } = await stage.holderAndFollower();
    const startedAtMs = world.clock.monotonicMs();
    holder.contender.loseNextAnswer("silent");
    let puts = 0;
    store.intercept = async (operation) => {
      if (operation === "put") puts += 1;
      // Refused, the second one is followed by a look, and nothing comes after that.
      else if (puts === 2) holder.contender.cutOff("silent");
    };
    await stage.until(() => puts === 2, TTL_MS);
    await stage.until(() => !holder.isHolder, TTL_MS);
    assert.ok(world.clock.monotonicMs() - startedAtMs <= TTL_MS / 3 + TTL_MS, "held for too long");
    await stage.advance(TTL_MS * 2);
    assert.equal(stage.tokens.length, 2);
  });
});

describe("a failure that passes", () => {
  const repeatedly = async ({ log, contender }: Awaited<ReturnType<StoreWorld["run"]>>) => {
    for (let times = 0; times < 2; times += 1) {
      contender.cutOff("refused");
      await world.pass(TTL_MS / 3);
      contender.reconnect();
      await world.pass(TTL_MS);
    }
    assert.equal(log.find("election fails, will try again").length, 2);
  };

  it("is news again when it comes back to the holder", async () => {
    await repeatedly(await world.run());
  });

  it("is news again when it comes back to a follower", async () => {
    await world.run();
    const follower = await world.run();
    await repeatedly(follower);
    assert.ok(!follower.runner.isHolder);
  });
});

describe("a slow renewal", () => {
  it("is followed by the next one as soon as if it had been quick", async () => {
    const machine = jumpingClock();
    await world.run(machine);
    const begunAtMs: number[] = [];
    store.intercept = async (operation) => {
      if (operation !== "put") return;
      begunAtMs.push(machine.clock.monotonicMs());
      machine.jumpMs += 2_000;
    };
    await world.pass(TTL_MS);
    const [first = 0, second = 0, third = 0] = begunAtMs;
    assert.deepEqual([second - first, third - second], [TTL_MS / 3, TTL_MS / 3]);
  });
});

/** The world's clock, but ahead of it by `jumpMs`. */
function jumpingClock() {
  const { clock } = world;
  const machine = {
    jumpMs: 0,
    clock: {
      now: () => clock.now(),
      monotonicMs: () => clock.monotonicMs() + machine.jumpMs,
      sleep: (ms: number, signal: AbortSignal) => clock.sleep(ms, signal),
    },
  };
  return machine;
}
