/** A config that lost too much passes by: it is no snapshot for an outage until somebody vouches for it. */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { guardOf } from "../../../src/commands/serve/snapshots.ts";
import { parseGuardPolicy } from "../../../src/exporter/guard.ts";
import { encodeReconfigure } from "../../../src/kong/reconfigure.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { DiskCache } from "../../../src/sidecar/shelf/disk-cache.ts";
import { Remember } from "../../../src/sidecar/shelf/remember.ts";
import { type Origin, Shelf } from "../../../src/sidecar/shelf/shelf.ts";
import { PLAIN_SEAL } from "../../../src/snapshots/seal/seal.ts";
import { type NewSnapshot, sha256 } from "../../../src/snapshots/snapshot.ts";
import { FileStore } from "../../../src/store/file.ts";
import { snapshotOf, V391 } from "../../fakes/config.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";

const T0 = 1_795_220_000;
const maxConfigBytes = 1_000_000;
const HELD = "config passed on but not remembered: it lost too much of what the one before has";

/** With so many services; their ids begin with `name`. */
function configOf(name: string, services: number, after = 0): NewSnapshot {
  const table = {
    _format_version: "3.0",
    services: Array.from({ length: services }, (_, n) => ({ name: `${name}-${n}` })),
    parameters: [{ key: name }],
  };
  const config = Buffer.from(JSON.stringify(table));
  const digest = sha256(config);
  const { metadata } = snapshotOf("any");
  return {
    config,
    metadata: {
      ...{ ...metadata, configHash: digest.slice(0, 32), hashes: {}, sha256: digest },
      ...{ bytes: config.length, controlPlaneTimestamp: T0 + after },
      exportedAt: new Date((T0 + after) * 1000),
    },
  };
}

const GOOD = configOf("good", 20);
const EMPTIED = configOf("emptied", 0, 10);

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sidecar-guarded-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

function start(policy = "*=50") {
  const log = new RecordingLog();
  const guard = parseGuardPolicy(policy);
  assert.ok(guard);
  const shelf = new Shelf(guardOf(guard, log));
  const base = { shelf, clock: systemClock, random: Math.random, log, maxConfigBytes };
  const remember = new Remember({ ...base, exporterId: "sidecar-1" });
  const disk = new DiskCache({
    ...{ ...base, seal: PLAIN_SEAL, trusted: [], match: "patch" },
    store: new FileStore({ url: `file://${directory}`, directory, clock: systemClock }),
  });
  shelf.onNewer((_, servable) => disk.keep(servable));
  /** It passes by, on its way to a data plane. */
  const pass = async ({ config: configTable, metadata }: NewSnapshot): Promise<void> => {
    const { configHash, hashes, controlPlaneTimestamp: timestamp } = metadata;
    remember.offer(V391, await encodeReconfigure({ configTable, configHash, hashes, timestamp }));
    await remember.run(AbortSignal.abort());
  };
  const find = (snapshot: NewSnapshot, origin: Origin) => shelf.offer(snapshot, origin);
  const served = () => shelf.newest(V391)?.configHash;
  const held = () => shelf.held(V391)?.metadata.configHash;
  /** What is there now is written to the disk. */
  const settle = () => disk.run(AbortSignal.abort(), AbortSignal.timeout(20_000));
  /** What an earlier run wrote is read. */
  const recall = async (): Promise<void> => {
    const kept = await disk.read(V391, AbortSignal.timeout(20_000));
    assert.ok(kept);
    await shelf.offer(kept, "disk");
  };
  return { log, pass, find, served, held, settle, recall };
}

const hashOf = ({ metadata }: NewSnapshot) => metadata.configHash;

describe("an emptied config that passes by", () => {
  it("is not what is served in an outage, and says so once, however often it passes", async () => {
    const { find, pass, served, held, log } = start();
    await find(GOOD, "store");
    await pass(EMPTIED);
    await pass(configOf("emptied", 0, 20));
    assert.equal(served(), hashOf(GOOD));
    assert.equal(held(), hashOf(EMPTIED));
    const [line, ...more] = log.find(HELD);
    assert.equal(more.length, 0);
    assert.equal(line?.fields["configHash"], hashOf(EMPTIED));
    assert.match(`${line?.fields["reasons"]}`, /20 services/);
  });

  it("is not after a restart either, whoever found the good one", async () => {
    for (const origin of ["store", "memory"] as const) {
      const first = start();
      if (origin === "store") await first.find(GOOD, "store");
      else await first.pass(GOOD);
      await first.pass(EMPTIED);
      await first.settle();
      const second = start();
      await second.recall();
      assert.equal(second.served(), hashOf(GOOD));
      await second.pass(EMPTIED);
      assert.equal(second.served(), hashOf(GOOD));
    }
  });

  it("is once it is found saved, whatever the clocks say: an exporter let it pass", async () => {
    const { find, pass, served, held, log } = start();
    await pass(configOf("good", 20, 100));
    await pass(EMPTIED);
    await find(EMPTIED, "store");
    assert.equal(served(), hashOf(EMPTIED));
    assert.equal(held(), undefined);
    assert.equal(log.find("what the control plane sends is remembered again").length, 1);
  });

  it("gives way to the next one that is good, and to the return of the one before", async () => {
    const { find, pass, served, held } = start();
    await find(GOOD, "store");
    await pass(EMPTIED);
    await pass(configOf("good", 20, 20));
    assert.deepEqual([served(), held()], [hashOf(GOOD), undefined]);
    await pass(configOf("emptied", 0, 30));
    const next = configOf("next", 15, 40);
    await pass(next);
    assert.deepEqual([served(), held()], [hashOf(next), undefined]);
  });

  it("is remembered where the guard is off", async () => {
    const { find, pass, served } = start("off");
    await find(GOOD, "store");
    await pass(EMPTIED);
    assert.equal(served(), hashOf(EMPTIED));
  });

  it("as the first of all gives way to what is found saved, though that is older, also after a restart", async () => {
    for (const restarts of [false, true]) {
      const first = start();
      await first.pass(EMPTIED);
      assert.equal(first.served(), hashOf(EMPTIED), "there is nothing better");
      await first.settle();
      const then = restarts ? start() : first;
      if (restarts) await then.recall();
      await then.find(GOOD, "store");
      assert.equal(then.served(), hashOf(GOOD));
      assert.equal(then.held(), hashOf(EMPTIED));
      assert.equal(then.log.find(HELD).length, 1);
    }
  });
});

describe("a config that lost no more than the guard allows", () => {
  it("stays the newest, though what is found saved is older and has more", async () => {
    const { find, pass, served } = start();
    await find(GOOD, "store");
    const smaller = [configOf("smaller", 12, 10), configOf("smallest", 7, 20)];
    for (const config of smaller) await pass(config);
    await find(configOf("late", 20, 5), "store");
    assert.equal(served(), smaller[1]?.metadata.configHash);
  });
});
