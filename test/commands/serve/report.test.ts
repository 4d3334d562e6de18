import assert from "node:assert/strict";
import { beforeEach, describe, it } from "vitest";
import {
  missingSnapshots,
  planesNotReady,
  reportPlanes,
  reportSnapshots,
} from "../../../src/commands/serve/report.ts";
import type { UpstreamState } from "../../../src/sidecar/live/evidence.ts";
import type { ListedPlane } from "../../../src/sidecar/plane/session.ts";
import { Shelf } from "../../../src/sidecar/shelf/shelf.ts";
import { describeBare } from "../../../src/snapshots/snapshot.ts";
import { SourceError } from "../../../src/source/port.ts";
import { configBytes, kongVersion, snapshotOf, V391 } from "../../fakes/config.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";

const V381 = kongVersion("3.8.1");

describe("what a sidecar tells of itself", () => {
  let clock: ManualClock;
  let shelf: Shelf;
  let state: UpstreamState;
  let unserved: readonly ListedPlane[];
  beforeEach(() => {
    unserved = [];
    clock = new ManualClock();
    shelf = new Shelf();
    state = { kind: "connecting", since: clock.now() };
  });

  const subject = (...wanted: (typeof V391)[]) => ({
    controlPlane: { state, planes: [], unserved },
    upstream: "cp:8005",
    shelf,
    wanted,
    clock,
  });

  it("is ready with a live control plane, or with a snapshot for every version that is wanted", async () => {
    assert.equal(
      planesNotReady(subject()),
      "the control plane is not live, and there is no usable snapshot",
    );
    state = { kind: "live", since: clock.now() };
    assert.equal(planesNotReady(subject(V391)), undefined);
    const error = new SourceError("SOURCE_UNREACHABLE", "it is gone");
    state = { kind: "fallback", since: clock.now(), error };
    await shelf.offer(snapshotOf("a"), "store");
    assert.equal(planesNotReady(subject()), undefined);
    assert.equal(planesNotReady(subject(V391)), undefined);
    assert.match(planesNotReady(subject(V391, V381)) ?? "", /no usable snapshot for Kong 3\.8\.1$/);
    assert.equal(missingSnapshots(shelf, [V391]), undefined);
  });

  it("says why the control plane is lost, and only then", () => {
    assert.deepEqual(reportPlanes(subject()), {
      state: "connecting",
      since: clock.now(),
      controlPlane: "cp:8005",
      snapshots: [],
      dataPlanes: [],
    });
    const error = new SourceError("SOURCE_UNREACHABLE", "it is gone");
    state = { kind: "fallback", since: clock.now(), error };
    const { reason, code } = reportPlanes(subject()) as { reason?: string; code?: string };
    assert.deepEqual({ reason, code }, { reason: "it is gone", code: "SOURCE_UNREACHABLE" });
  });

  it("tells of a data plane that gets nothing, and why", () => {
    const since = clock.now();
    const introduction = { nodeId: "a", hostname: "kong-0", version: "3.9.1" };
    const error = new SourceError("SOURCE_WITHHELD", "by incremental sync only");
    const listed = { kind: "unserved", since, error } as const;
    unserved = [{ introduction, connectedAt: since, hash: undefined, state: listed }];
    const { dataPlanes } = reportPlanes(subject()) as { dataPlanes?: unknown };
    assert.deepEqual(dataPlanes, [
      {
        ...{ ...introduction, state: "unserved", since, reason: error.message },
        ...{ connectedAt: since, configHash: null },
      },
    ]);
  });

  it("tells of a config that passes by and is held back, with the reasons", async () => {
    shelf = new Shelf({ examine: () => ["routes fell"], onHeld: () => {} });
    await shelf.offer(snapshotOf("a"), "store");
    const emptied = snapshotOf("b", { exportedAt: clock.now() });
    await shelf.offer(emptied, "memory");
    const [{ held } = {}] = reportSnapshots(shelf, clock) as { held?: unknown }[];
    const { configHash } = emptied.metadata;
    assert.deepEqual(held, { configHash, passedAt: clock.now(), reasons: ["routes fell"] });
  });

  it("tells the age of a snapshot from its last confirmation, never below 0, and null where nobody knows", async () => {
    const agesOf = () =>
      reportSnapshots(shelf, clock).map((report) => (report as { ageSeconds: unknown }).ageSeconds);
    const inOneMinute = new Date(clock.now().getTime() + 60_000);
    await shelf.offer(snapshotOf("a", { exportedAt: inOneMinute }), "store");
    assert.deepEqual(agesOf(), [0]);
    await clock.advance(70_000);
    assert.deepEqual(agesOf(), [10]);
    const confirmed = { exportedAt: clock.now(), controlPlaneTimestamp: 1_795_220_001 };
    await shelf.offer(snapshotOf("a", confirmed), "store");
    assert.deepEqual(agesOf(), [0]);

    shelf = new Shelf();
    const config = configBytes("by hand");
    await shelf.offer({ config, metadata: describeBare(config, V391, undefined) }, "store");
    assert.deepEqual(agesOf(), [null]);
  });
});
