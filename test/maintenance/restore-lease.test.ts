import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { MAX_TOKEN } from "../../src/election/lease.ts";
import { NoElection } from "../../src/election/none.ts";
import { ElectionError, type Leadership } from "../../src/election/port.ts";
import { decodeLease, encodeLease, StoreElection } from "../../src/election/store.ts";
import { foldersOf } from "../../src/maintenance/folder.ts";
import {
  obtainLease,
  RestoreError,
  type RestoreLeaseContext,
  type RestoreLeaseRequest,
} from "../../src/maintenance/restore-lease.ts";
import { leaseKey } from "../../src/snapshots/layout.ts";
import { PLAIN_SEAL } from "../../src/snapshots/seal/seal.ts";
import { StoreError } from "../../src/store/port.ts";
import { NEVER, services, snapshotAt } from "../commands/snapshots/stage.ts";
import { NEWER, V391 } from "../fakes/config.ts";
import { leaseIn } from "../fakes/lease.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";

const KEY = leaseKey(V391);

/** A store in which something is saved under token 4. */
async function world() {
  const clock = new ManualClock();
  const store = new MemoryStore();
  const log = new RecordingLog();
  const [folder] = foldersOf([V391], [store], {
    seal: PLAIN_SEAL,
    maxConfigBytes: 1_000_000,
    log,
  });
  assert.ok(folder);
  const { archive } = folder;
  const snapshot = snapshotAt(0, services("a"), { fencingToken: 4 });
  await archive.save(snapshot, { conditional: true, provenance: NEWER }, NEVER);
  const said: string[] = [];
  const obtain = (
    more: Partial<RestoreLeaseRequest> = {},
    election: RestoreLeaseContext["election"] = "store",
  ) =>
    obtainLease(
      { folder, conditional: true, takeOver: false, ...more },
      {
        election,
        openElection: async (_, id, conditional) => {
          const exporter = { id, hostname: "workstation" };
          const floor = (signal: AbortSignal) => archive.highestToken(signal);
          const common = { exporter, ttlMs: 15_000, floor, clock, random: () => 0, log };
          return election === "off"
            ? new NoElection({ ...common, name: "none" })
            : new StoreElection({
                ...common,
                store,
                key: KEY,
                conditional: async () => conditional,
              });
        },
        leaseTtlMs: 15_000,
        hostname: "workstation",
        clock,
        log,
        say: (line) => said.push(line),
      },
      NEVER,
    );
  const lease = () => decodeLease(store.objects.get(KEY)?.body ?? Buffer.alloc(0), KEY);
  return { clock, store, log, archive, said, obtain, lease };
}

/** An exporter that holds the lease and renews it. */
async function exporter({ clock, store, log, archive }: Awaited<ReturnType<typeof world>>) {
  const election = new StoreElection({
    store,
    key: KEY,
    exporter: { id: "exporter-1", hostname: "host-1" },
    ttlMs: 15_000,
    floor: (signal) => archive.highestToken(signal),
    conditional: async () => true,
    clock,
    random: () => 0,
    log,
  });
  const seen: Leadership[] = [];
  let begun = false;
  const watch = async () => {
    for await (const leadership of election.campaign(NEVER)) {
      begun ||= leadership.kind === "holder";
      if (begun) seen.push(leadership);
    }
  };
  const ended = watch().catch(() => {});
  while (!begun) await clock.advance(1_000);
  return {
    seen,
    async [Symbol.asyncDispose]() {
      await election[Symbol.asyncDispose]();
      await ended;
    },
  };
}

/** Lets time pass until `promise` has an outcome. */
async function outcome<T>(clock: ManualClock, promise: Promise<T>): Promise<T> {
  let pending = true;
  const settled = () => {
    pending = false;
  };
  promise.then(settled, settled);
  while (pending) await clock.advance(1_000);
  return promise;
}

describe("the lease of a restore", () => {
  it("is won where nobody holds the lease, above every token, and given back", async () => {
    const { clock, obtain, lease, said } = await world();
    const won = await outcome(clock, obtain());
    assert.equal(won.token, 5);
    assert.equal(lease().state, "held");
    await won[Symbol.asyncDispose]();
    await won[Symbol.asyncDispose]();
    assert.equal(lease().state, "released");
    assert.equal(clock.sleepers, 0);
    assert.match(said.join(), /the lease is missing: waiting up to 25 s/);
  });

  it("is not won from an exporter that lives, which goes on undisturbed", async () => {
    const scene = await world();
    await using living = await exporter(scene);
    const startedAt = scene.clock.monotonicMs();
    const refused = await outcome(
      scene.clock,
      assert.rejects(scene.obtain(), (error) => {
        assert.ok(error instanceof RestoreError);
        assert.equal(error.code, "RESTORE_LEASE_HELD");
        assert.match(error.message, /exporter-1 on host-1 is alive/);
        assert.match(error.hint ?? "", /--take-over/);
        return true;
      }),
    );
    assert.equal(refused, undefined);
    assert.equal(scene.clock.monotonicMs() - startedAt, 25_000);
    assert.match(scene.said.join(), /exporter-1 on host-1 holds the lease: waiting up to 25 s/);
    assert.deepEqual(living.seen, [{ kind: "holder", token: 5 }]);
  });

  it("is won from an exporter that died", async () => {
    const { clock, store, obtain } = await world();
    await leaseIn(store, clock).take(6, undefined, NEVER);
    const won = await outcome(clock, obtain());
    assert.equal(won.token, 7);
    await won[Symbol.asyncDispose]();
  });

  it("is taken from an exporter that lives, which steps down and is elected again afterwards", async () => {
    const scene = await world();
    await using living = await exporter(scene);
    const taken = await scene.obtain({ takeOver: true });
    assert.equal(taken.token, 6);
    await scene.clock.advance(6_000);
    assert.equal(living.seen.at(-1)?.kind, "follower");
    await taken[Symbol.asyncDispose]();
    await taken[Symbol.asyncDispose]();
    await scene.clock.advance(6_000);
    assert.deepEqual(living.seen.at(-1), { kind: "holder", token: 7 });
    assert.deepEqual(scene.log.find("error"), []);
  });

  it("is taken though the holder renews at the same moment", async () => {
    const { clock, store, obtain, lease } = await world();
    const holder = leaseIn(store, clock);
    const held = await holder.take(6, undefined, NEVER);
    assert.ok(held);
    let renewals = 0;
    store.intercept = async (operation, key) => {
      if (operation !== "put" || key !== KEY || renewals > 0) return;
      renewals += 1;
      assert.ok(await holder.renew(held, NEVER));
    };
    const taken = await obtain({ takeOver: true });
    assert.equal(renewals, 1);
    assert.equal(taken.token, 7);
    assert.equal(lease().holder, "snapshots-restore");
  });

  it("is not taken where the lease changes under each attempt", async () => {
    const { store, clock, obtain } = await world();
    const holder = leaseIn(store, clock);
    let held = await holder.take(6, undefined, NEVER);
    let isRenewing = false;
    store.intercept = async (operation, key) => {
      if (operation !== "put" || key !== KEY || isRenewing) return;
      isRenewing = true;
      held = held && (await holder.renew(held, NEVER));
      assert.ok(held);
      isRenewing = false;
    };
    await assert.rejects(
      obtain({ takeOver: true }),
      (error) =>
        error instanceof RestoreError &&
        error.code === "RESTORE_OVERTAKEN" &&
        /lease\.json: it changed at every attempt/.test(error.message),
    );
  });

  it("is given back later, by its expiry, where the store takes nothing any more", async () => {
    const { store, obtain, lease, log } = await world();
    const taken = await obtain({ takeOver: true });
    store.intercept = async () => {
      throw new StoreError("STORE_UNAVAILABLE", "the store is down");
    };
    await taken[Symbol.asyncDispose]();
    assert.equal(lease().state, "held");
    const said = log.find("warn").map(({ message }) => message);
    assert.deepEqual(said, ["lease not released, exporters take it when it expires"]);
  });

  it("is not waited for longer than it runs where the store hangs when it is given back", async () => {
    const { clock, store, obtain, log } = await world();
    const taken = await obtain({ takeOver: true });
    store.intercept = () => new Promise(() => {});
    const startedAt = clock.monotonicMs();
    await outcome(clock, Promise.resolve(taken[Symbol.asyncDispose]()));
    assert.equal(clock.monotonicMs() - startedAt, 15_000);
    assert.equal(log.find("warn").length, 1);
  });

  it("is not held by an election that was opened where the lease cannot even be read", async () => {
    const { clock, store, obtain } = await world();
    store.intercept = async () => {
      throw new StoreError("STORE_DENIED", "no");
    };
    await assert.rejects(outcome(clock, obtain()), { code: "STORE_DENIED" });
    assert.equal(clock.sleepers, 0);
  });

  it("is not to be had where no lease is possible, but for an operator who does without", async () => {
    const { clock, obtain, store } = await world();
    for (const takeOver of [false, true]) {
      await assert.rejects(
        outcome(clock, obtain({ conditional: false, takeOver })),
        (error) => error instanceof ElectionError && error.code === "ELECTION_UNSAFE",
      );
    }
    await using given = await obtain({ conditional: false }, "off");
    assert.equal(given.token, 4, "a higher one would keep the only exporter out");
    assert.equal(store.objects.has(KEY), false);
  });

  it.each([
    ["for which metadata have no room", MAX_TOKEN],
    ["that no count can have reached", 2_000_000_000],
  ])("takes no token over %s, though somebody forged it", async (_, token) => {
    const { store, obtain, lease } = await world();
    const taken = await obtain({ takeOver: true });
    await taken[Symbol.asyncDispose]();
    const body = encodeLease({ ...lease(), token });
    const { version } = await store.put(KEY, body, { metadata: {}, contentType: "" }, NEVER);
    await assert.rejects(obtain({ takeOver: true }), { code: "ELECTION_CORRUPT" });
    assert.equal(store.objects.get(KEY)?.version, version);
  });
});
