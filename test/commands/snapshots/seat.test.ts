import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { Writable } from "node:stream";
import { describe, it } from "vitest";
import { RestoreError } from "../../../src/commands/snapshots/restore-error.ts";
import { type SeatRequest, takeSeat } from "../../../src/commands/snapshots/seat.ts";
import { UsageError } from "../../../src/commands/usage-error.ts";
import { MAX_TOKEN } from "../../../src/election/lease.ts";
import { ElectionError, type Leadership } from "../../../src/election/port.ts";
import { decodeLease, encodeLease, StoreElection } from "../../../src/election/store.ts";
import { createLogger } from "../../../src/runtime/logger.ts";
import { readSettings } from "../../../src/runtime/settings.ts";
import { Archive } from "../../../src/snapshots/archive.ts";
import { CurrentObject } from "../../../src/snapshots/current.ts";
import { leaseKey } from "../../../src/snapshots/layout.ts";
import { PLAIN_SEAL } from "../../../src/snapshots/seal/seal.ts";
import { StoreError } from "../../../src/store/port.ts";
import { V391 } from "../../fakes/config.ts";
import { leaseIn } from "../../fakes/lease.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { MemoryStore } from "../../fakes/memory-store.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";
import { NEVER, services, snapshotAt } from "./stage.ts";

const KEY = leaseKey(V391);

/** A store in which something is saved under token 4. */
async function world() {
  const clock = new ManualClock();
  const store = new MemoryStore();
  const log = new RecordingLog();
  const place = { store, kongVersion: V391, seal: PLAIN_SEAL, maxConfigBytes: 1_000_000, log };
  const archive = new Archive(place);
  const snapshot = snapshotAt(0, services("a"), { fencingToken: 4 });
  await archive.save(snapshot, { conditional: true }, NEVER);
  const said: string[] = [];
  const sink = new Writable({
    write: (chunk, _, done) => {
      said.push(String(chunk));
      done();
    },
  });
  const seat = (
    more: Partial<SeatRequest> = {},
    environment: Readonly<Record<string, string>> = {},
  ) =>
    takeSeat(
      {
        place: { version: V391, store, archive, current: new CurrentObject(place) },
        conditional: true,
        takeOver: false,
        ...more,
      },
      {
        settings: readSettings(environment),
        log: createLogger({ level: "warn", stream: sink }),
        stdout: sink,
        stderr: sink,
        json: false,
        signals: new EventEmitter(),
        hostname: "workstation",
        clock,
        random: () => 0,
      },
      NEVER,
    );
  const lease = () => decodeLease(store.objects.get(KEY)?.body ?? Buffer.alloc(0), KEY);
  return { clock, store, log, archive, said, seat, lease };
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

describe("the seat of a restore", () => {
  it("is won where nobody holds the lease, above every token, and given back", async () => {
    const { clock, seat, lease, said } = await world();
    const won = await outcome(clock, seat());
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
      assert.rejects(scene.seat(), (error) => {
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
    const { clock, store, seat } = await world();
    await leaseIn(store, clock).take(6, undefined, NEVER);
    const won = await outcome(clock, seat());
    assert.equal(won.token, 7);
    await won[Symbol.asyncDispose]();
  });

  it("is taken from an exporter that lives, which steps down and is elected again afterwards", async () => {
    const scene = await world();
    await using living = await exporter(scene);
    const taken = await scene.seat({ takeOver: true });
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
    const { clock, store, seat, lease } = await world();
    const holder = leaseIn(store, clock);
    const held = await holder.take(6, undefined, NEVER);
    assert.ok(held);
    let renewals = 0;
    store.intercept = async (operation, key) => {
      if (operation !== "put" || key !== KEY || renewals > 0) return;
      renewals += 1;
      assert.ok(await holder.renew(held, NEVER));
    };
    const taken = await seat({ takeOver: true });
    assert.equal(renewals, 1);
    assert.equal(taken.token, 7);
    assert.equal(lease().holder, "snapshots-restore");
  });

  it("is not taken where the lease changes under each attempt", async () => {
    const { store, clock, seat } = await world();
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
      seat({ takeOver: true }),
      (error) =>
        error instanceof RestoreError &&
        error.code === "RESTORE_OVERTAKEN" &&
        /lease\.json: it changed under each attempt/.test(error.message),
    );
  });

  it("is given back later, by its expiry, where the store takes nothing any more", async () => {
    const { store, seat, lease, said } = await world();
    const taken = await seat({ takeOver: true });
    store.intercept = async () => {
      throw new StoreError("STORE_UNAVAILABLE", "the store is down");
    };
    await taken[Symbol.asyncDispose]();
    assert.equal(lease().state, "held");
    assert.match(said.join(), /lease not released, exporters take it when it expires/);
  });

  it("is not to be had where no lease is possible, but for an operator who does without", async () => {
    const { clock, seat, store } = await world();
    for (const takeOver of [false, true]) {
      await assert.rejects(
        outcome(clock, seat({ conditional: false, takeOver })),
        (error) => error instanceof ElectionError && error.code === "ELECTION_UNSAFE",
      );
    }
    const off = { KONG_FALLBACK_ELECTION: "off" };
    await using given = await seat({ conditional: false }, off);
    assert.equal(given.token, 4, "a higher one would keep the only exporter out");
    assert.equal(store.objects.has(KEY), false);
  });

  it("cannot be taken from the holder of a Lease of Kubernetes", async () => {
    const { seat } = await world();
    await assert.rejects(
      seat({ takeOver: true }, { KONG_FALLBACK_ELECTION: "kubernetes" }),
      (error) => error instanceof UsageError && /Scale the exporters down/.test(error.hint ?? ""),
    );
  });

  it.each([
    ["for which metadata have no room", MAX_TOKEN],
    ["that no count can have reached", 2_000_000_000],
  ])("takes no token over %s, though somebody forged it", async (_, token) => {
    const { store, seat, lease } = await world();
    const taken = await seat({ takeOver: true });
    await taken[Symbol.asyncDispose]();
    const body = encodeLease({ ...lease(), token });
    const { version } = await store.put(KEY, body, { metadata: {}, contentType: "" }, NEVER);
    await assert.rejects(seat({ takeOver: true }), { code: "ELECTION_CORRUPT" });
    assert.equal(store.objects.get(KEY)?.version, version);
  });
});
