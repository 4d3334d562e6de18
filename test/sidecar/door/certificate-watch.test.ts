import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "vitest";
import { Secret } from "../../../src/core/secret.ts";
import { ClusterTlsError } from "../../../src/kong/cluster-tls.ts";
import {
  type Certificates,
  watchCertificates,
} from "../../../src/sidecar/door/certificate-watch.ts";
import { clusterCertificate, sharedTls } from "../../fakes/certificates.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";

const EVERY_MS = 10_000;
const DAY_MS = 24 * 60 * 60 * 1000;
const REPLACED = "certificates were replaced, the new ones are in use";
const UNREADABLE = "certificates cannot be read, those in use stay";

const a: Certificates = { tls: await sharedTls(clusterCertificate()), server: undefined };
const b: Certificates = { tls: await sharedTls(clusterCertificate()), server: undefined };

describe("the watch over certificates", () => {
  let clock: ManualClock;
  let log: RecordingLog;
  let onDisk: Certificates | Error;
  let changes: Certificates[];
  let stop: AbortController;
  let watching: Promise<unknown>;
  beforeEach(() => {
    clock = new ManualClock(new Date());
    log = new RecordingLog();
    changes = [];
    stop = new AbortController();
  });
  afterEach(async () => {
    const reason = new Error("stopped");
    stop.abort(reason);
    assert.equal(await watching, reason);
    assert.equal(clock.sleepers, 0);
  });

  function watch(current = a): void {
    onDisk = current;
    const load = async () => {
      if (onDisk instanceof Error) throw onDisk;
      return onDisk;
    };
    const onChange = (certificates: Certificates) => changes.push(certificates);
    const options = { load, current, onChange, clock, log };
    watching = watchCertificates(options, stop.signal).catch((error: unknown) => error);
  }

  it("hands on what was replaced, once, and nothing while nothing was", async () => {
    watch();
    await clock.advance(3 * EVERY_MS);
    assert.deepEqual(changes, []);
    assert.deepEqual(log.lines, []);
    onDisk = b;
    await clock.advance(EVERY_MS - 1);
    assert.deepEqual(changes, []);
    await clock.advance(1);
    assert.deepEqual(changes, [b]);
    await clock.advance(3 * EVERY_MS);
    assert.deepEqual(changes, [b]);
    onDisk = a;
    await clock.advance(EVERY_MS);
    assert.deepEqual(changes, [b, a]);
    assert.equal(log.find(REPLACED).length, 2);
  });

  it("notices another key, another authority, another server's certificate", async () => {
    watch();
    const { tls } = a;
    const replaced: readonly Certificates[] = [
      { tls: { ...tls, key: new Secret("another key") }, server: undefined },
      { tls: { ...tls, ca: ["another authority"] }, server: undefined },
      { tls, server: { cert: tls.cert, key: tls.key } },
      { tls, server: { cert: tls.cert, key: b.tls.key } },
    ];
    for (const [index, certificates] of replaced.entries()) {
      onDisk = certificates;
      await clock.advance(EVERY_MS);
      assert.equal(changes.length, index + 1);
    }
  });

  it("keeps those in use while half is replaced, says so once, and takes the whole", async () => {
    watch();
    for (const [fault, lines] of [
      ["half", 1],
      ["half", 1],
      ["gone", 2],
    ] as const) {
      onDisk = new ClusterTlsError(fault);
      await clock.advance(EVERY_MS);
      assert.equal(log.find(UNREADABLE).length, lines);
    }
    assert.deepEqual(changes, []);
    onDisk = b;
    await clock.advance(EVERY_MS);
    assert.deepEqual(changes, [b]);
    onDisk = new ClusterTlsError("gone");
    await clock.advance(EVERY_MS);
    assert.equal(log.find(UNREADABLE).length, 3, "the same fault again, after it was mended");
  });

  it("says once that a certificate expires soon, and once that it has", async () => {
    const expiring = (inMs: number): Certificates => {
      const expiresAt = new Date(clock.now().getTime() + inMs);
      return { tls: { ...a.tls, expiresAt }, server: undefined };
    };
    const said = () => log.lines.map(({ level, message }) => `${level}: ${message}`);
    watch(expiring(14 * DAY_MS + 1.5 * EVERY_MS));
    await clock.advance(EVERY_MS);
    assert.deepEqual(said(), []);
    await clock.advance(3 * EVERY_MS);
    assert.deepEqual(said(), ["warn: cluster certificate expires soon"]);
    onDisk = { ...expiring(0.5 * EVERY_MS), server: b.tls };
    await clock.advance(3 * EVERY_MS);
    assert.deepEqual(said().slice(1), [
      `info: ${REPLACED}`,
      "error: cluster certificate has expired",
    ]);
    onDisk = b;
    await clock.advance(3 * EVERY_MS);
    assert.deepEqual(said().slice(3), [`info: ${REPLACED}`]);
  });
});
