import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { decodeReconfigure } from "../../../src/kong/reconfigure.ts";
import type { KongVersion } from "../../../src/kong/version.ts";
import {
  MAX_VERSIONS,
  type Servable,
  Shelf,
  unpackSnapshot,
} from "../../../src/sidecar/shelf/shelf.ts";
import { kongVersion, snapshotOf, V391 } from "../../fakes/config.ts";

const T0 = 1_795_220_000;
const V342 = kongVersion("3.4.2");

function made(name: string, controlPlaneTimestamp: number) {
  return snapshotOf(name, { controlPlaneTimestamp });
}

async function configIn({ frame }: Servable): Promise<string> {
  const { configTable } = await decodeReconfigure(frame, { maxConfigBytes: 10_000 });
  return Buffer.from(configTable).toString();
}

function textOf(name: string): string {
  return Buffer.from(snapshotOf(name).config).toString();
}

describe("what is on the shelf", () => {
  it("is one message with the exact config, its hash and what it takes to judge it", async () => {
    const shelf = new Shelf();
    const snapshot = made("a", T0);
    assert.equal(await shelf.offer(snapshot, "store"), true);
    const servable = shelf.newest(V391);
    assert.ok(servable);
    const { frame, metadata, ...rest } = servable;
    assert.deepEqual(rest, {
      configHash: snapshot.metadata.configHash,
      plugins: new Set(),
      kongVersion: V391,
      bytes: snapshot.config.length,
      controlPlaneTimestamp: T0,
      takenAt: snapshot.metadata.exportedAt,
      origin: "store",
      counts: { services: 1 },
      isMeasured: true,
    });
    assert.equal(metadata, snapshot.metadata);
    const update = await decodeReconfigure(frame, { maxConfigBytes: 10_000 });
    assert.deepEqual(Buffer.from(update.configTable), snapshot.config);
    assert.equal(update.configHash, snapshot.metadata.configHash);
    const unpacked = await unpackSnapshot(servable);
    assert.deepEqual(Buffer.from(unpacked.config), snapshot.config);
    assert.equal(unpacked.metadata, snapshot.metadata);
  });

  it("is the newest of each version, whatever comes in which order", async () => {
    const shelf = new Shelf();
    assert.equal(shelf.newest(V391), undefined);
    await shelf.offer(made("b", T0 + 1), "memory");
    assert.equal(await shelf.offer(made("a", T0), "store"), false);
    assert.equal(await shelf.offer(made("c", T0 + 2), "store"), true);
    await shelf.offer(snapshotOf("old", { kongVersion: V342 }), "disk");
    assert.deepEqual(shelf.versions(), [V391, V342]);
    const servable = shelf.newest(V391);
    assert.ok(servable);
    assert.equal(await configIn(servable), textOf("c"));
    assert.equal(servable.origin, "store");
    assert.equal(shelf.newest(V342)?.origin, "disk");
  });

  it("is the newest even if several are packed at once", async () => {
    const shelf = new Shelf();
    const offers = [3, 5, 1, 4, 2].map((n) => shelf.offer(made(`${n}`, T0 + n), "store"));
    await Promise.all(offers);
    const servable = shelf.newest(V391);
    assert.ok(servable);
    assert.equal(await configIn(servable), textOf("5"));
  });

  it("is what passed by last, whatever the clocks say, until something newer than that is found", async () => {
    const shelf = new Shelf();
    await shelf.offer(made("fast", T0 + 240), "store");
    assert.equal(await shelf.offer(made("right", T0), "memory"), true);
    assert.equal(await shelf.offer(made("fast", T0 + 240), "store"), false);
    assert.equal(await shelf.offer(made("next", T0 - 60), "memory"), true, "set back again");
    const servable = shelf.newest(V391);
    assert.ok(servable);
    assert.equal(await configIn(servable), textOf("next"));
    assert.equal(await shelf.offer(made("newer", T0 + 241), "store"), true);
  });

  it("stays the very same object while newer snapshots hold the same config", async () => {
    const shelf = new Shelf();
    await shelf.offer(made("a", T0), "disk");
    const before = shelf.newest(V391);
    const again = snapshotOf("a", {
      controlPlaneTimestamp: T0 + 5,
      exportedAt: new Date("2026-11-21T13:00:00Z"),
    });
    assert.equal(await shelf.offer(again, "memory"), false);
    assert.equal(shelf.newest(V391), before);
    assert.deepEqual(shelf.confirmedAt(V391), again.metadata.exportedAt);
  });

  it("does not go back to a config that the control plane itself has taken back since", async () => {
    const shelf = new Shelf();
    await shelf.offer(made("a", T0), "memory");
    await shelf.offer(made("a", T0 + 2), "memory");
    assert.equal(await shelf.offer(made("b", T0 + 1), "store"), false);
  });

  it("is one of the version itself rather than one that stands in, the nearer rather than the farther", async () => {
    const shelf = new Shelf();
    const offer = (name: string, saved: string, after: number) => {
      const overrides = { kongVersion: kongVersion(saved), controlPlaneTimestamp: T0 + after };
      return shelf.offer({ ...snapshotOf(name, overrides), wanted: V391 }, "store");
    };
    const taken = [
      await offer("far", "3.8.0", 50),
      await offer("near", "3.9.0", 40),
      await offer("far again", "3.8.0", 60),
      await offer("near and newer", "3.9.0", 41),
      await offer("near and older", "3.9.0", 39),
      await offer("near and newer", "3.9.1", 10),
      await offer("own", "3.9.1", 11),
      await offer("near and newest", "3.9.0", 70),
    ];
    assert.deepEqual(taken, [true, true, false, true, false, true, true, false]);
    assert.deepEqual(shelf.versions(), [V391]);
    const servable = shelf.newest(V391);
    assert.ok(servable);
    assert.equal(await configIn(servable), textOf("own"));
    assert.deepEqual([servable.kongVersion, servable.metadata.kongVersion], [V391, V391]);
  });

  it("is sent as it came, where the control plane's own message is given", async () => {
    const shelf = new Shelf();
    const frame = Buffer.from("the control plane's message");
    await shelf.offer(made("a", T0), "memory", frame);
    assert.equal(shelf.newest(V391)?.frame, frame);
  });

  it("has room for so many versions, and the ones that are there still become newer", async () => {
    const shelf = new Shelf();
    const versions = Array.from({ length: MAX_VERSIONS + 1 }, (_, n) => kongVersion(`3.9.${n}`));
    const taken: boolean[] = [];
    for (const version of versions) {
      taken.push(await shelf.offer(snapshotOf("a", { kongVersion: version }), "store"));
    }
    assert.deepEqual(taken, [...Array.from({ length: MAX_VERSIONS }, () => true), false]);
    const newer = snapshotOf("b", {
      kongVersion: kongVersion("3.9.0"),
      controlPlaneTimestamp: T0 + 1,
    });
    assert.equal(await shelf.offer(newer, "store"), true);
  });
});

describe("who listens to the shelf", () => {
  it("is told of each config that is taken, when it can be had, until it has heard enough", async () => {
    const shelf = new Shelf();
    const heard: [KongVersion, string][] = [];
    const stop = shelf.onNewer((version, servable) => {
      assert.equal(shelf.newest(version), servable);
      heard.push([version, servable.metadata.sha256]);
    });
    await shelf.offer(made("b", T0 + 1), "store");
    await shelf.offer(made("a", T0), "store");
    await shelf.offer(made("b", T0 + 2), "store");
    assert.deepEqual(heard, [[V391, snapshotOf("b").metadata.sha256]]);
    stop();
    stop();
    await shelf.offer(made("c", T0 + 3), "store");
    assert.equal(heard.length, 1);
  });
});
