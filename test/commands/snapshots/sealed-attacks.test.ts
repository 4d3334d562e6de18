/** What people are told of a sealed store in which somebody without keys has written, and what they are kept from. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { parseHistoryId } from "../../../src/snapshots/layout.ts";
import { roles } from "../../fakes/seals.ts";
import { NEVER, SnapshotsStage, services, snapshotAt } from "./stage.ts";

const CONTROL_PLANE = { KONG_CLUSTER_CONTROL_PLANE: "" };

const named = (name: string) => snapshotAt(name === "a" ? 0 : 1, services(name));

/** A store with a, then b; and the settings of its readers. */
async function setUp() {
  const { exporter, pem, age } = await roles();
  const stage = await SnapshotsStage.open({ environment: CONTROL_PLANE, seal: exporter });
  const a = await stage.save(named("a"));
  const b = await stage.save(named("b"));
  const reading = {
    KONG_FALLBACK_VERIFY_KEYS: pem.public,
    KONG_FALLBACK_AGE_IDENTITIES: age.identity.reveal(),
  };
  /** Under a name that is later than all others, and says that it is the config of `id`. */
  const forge = async (id: string) => {
    const forged = `20991231T000000.000Z-${parseHistoryId(id)?.hash}`;
    const options = { metadata: {}, contentType: "application/gzip" };
    const key = `3.9.1/history/${forged}.json.gz`;
    await stage.store.put(key, Buffer.from("forged"), options, NEVER);
    return forged;
  };
  return { stage, a, b, reading, forge };
}

describe("a forged entry of the history", () => {
  it("hides from no status that an old config was put back in the place of the current one", async () => {
    const { stage, a, b, reading, forge } = await setUp();
    await using _ = stage;
    await stage.putBack(named("a"));
    await forge(a);
    const { status, stdout } = await stage.run(["status"], { environment: reading });
    assert.equal(status, 0);
    assert.match(stdout.replaceAll(/\s+/g, " "), new RegExp(`attention it is older than ${b}`));
    const json = await stage.run(["status", "--json"], { environment: reading });
    assert.equal(JSON.parse(json.stdout)[0].stores[0].newerId, b);
  });

  it("is not taken for the current one by its name", async () => {
    const { stage, b, reading, forge } = await setUp();
    await using _ = stage;
    const forged = await forge(b);
    const { stdout } = await stage.run(["snapshots", "list", "--json"], { environment: reading });
    const [place] = JSON.parse(stdout);
    const current = place.history.filter(({ isCurrent }: { isCurrent: boolean }) => isCurrent);
    assert.deepEqual(
      current.map(({ id }: { id: string }) => id),
      [b],
    );
    assert.equal(place.history[0].id, forged);
    assert.equal(place.history[0].error.code, "SNAPSHOT_UNSIGNED");
    assert.equal(place.newerId, null);
  });
});

describe("a reader with another key", () => {
  it("is told by status that readers like it cannot open what is current", async () => {
    const { stage, reading } = await setUp();
    await using _ = stage;
    const { age } = await roles();
    const stranger = { ...reading, KONG_FALLBACK_AGE_IDENTITIES: age.identity.reveal() };
    const told = await stage.run(["status"], { environment: stranger });
    const flat = told.stdout.replaceAll(/\s+/g, " ");
    assert.ok(flat.includes(`none of the keys configured opens it: ${age.recipient}`), told.stdout);
    assert.doesNotMatch((await stage.run(["status"], { environment: reading })).stdout, /^opened/m);
    for (const [environment, opened] of [
      [stranger, false],
      [reading, true],
    ] as const) {
      const json = await stage.run(["status", "--json"], { environment });
      assert.equal(JSON.parse(json.stdout)[0].stores[0].seal.opened, opened);
    }
  });
});

describe("restoring one from before there were keys", () => {
  it("is refused where what is current is signed and sealed, before anything is written", async () => {
    const { exporter } = await roles();
    const { stage, current, id } = await withSealedOver(exporter);
    await using _ = stage;
    const before = await readFile(current);
    const refused = await stage.run(["snapshots", "restore", id, "--yes", "--take-over"]);
    assert.equal(refused.status, 2);
    for (const name of ["SIGNING_KEY", "AGE_RECIPIENTS"]) {
      assert.ok(refused.stderr.includes(`KONG_FALLBACK_${name}: is not set`), refused.stderr);
    }
    assert.deepEqual(await readFile(current), before);
  });

  it("is refused as unsigned where there is a key to sign with, and says what to unset", async () => {
    const { exporter, pem, age } = await roles();
    const { stage, current, id } = await withSealedOver(exporter);
    await using _ = stage;
    const before = await readFile(current);
    const environment = {
      KONG_FALLBACK_SIGNING_KEY: pem.private,
      KONG_FALLBACK_AGE_RECIPIENTS: age.recipient,
    };
    const argv = ["snapshots", "restore", id, "--yes", "--take-over"];
    const refused = await stage.run(argv, { environment });
    assert.equal(refused.status, 3);
    const flat = refused.stderr.replaceAll(/\s+/g, " ");
    assert.ok(
      flat.includes("unset KONG_FALLBACK_VERIFY_KEYS and KONG_FALLBACK_SIGNING_KEY"),
      refused.stderr,
    );
    assert.deepEqual(await readFile(current), before);
    const shown = await stage.run(["snapshots", "show", id, "--config"]);
    assert.equal(shown.stdout, named("a").config.toString());
  });
});

/** A store in which a lies in the clear, and b, sealed, is current. */
async function withSealedOver(exporter: Awaited<ReturnType<typeof roles>>["exporter"]) {
  const stage = await SnapshotsStage.open({ environment: CONTROL_PLANE });
  const id = await stage.save(named("a"));
  await stage.putBack(named("b"), exporter);
  return { stage, id, current: stage.path("3.9.1", "config.json") };
}
