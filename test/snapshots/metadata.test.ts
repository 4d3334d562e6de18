import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { History } from "../../src/snapshots/history.ts";
import { encodeMetadata } from "../../src/snapshots/metadata.ts";
import { checkMetadata } from "../../src/store/keys.ts";
import { CLUSTER_1, kongVersion, snapshotOf } from "../fakes/config.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { agePair, sealWith, signingPair } from "../fakes/seals.ts";
import { signal } from "./stage.ts";

/** Kong/kong@3.9.1 kong/clustering/config_helper.lua */
const PARTS = ["config", "routes", "services", "plugins", "upstreams", "targets"];

/** The longest text that is written at all: 512 characters. */
function manyKinds(): Record<string, number> {
  const named = (index: number) => `kind${String(index).padStart(2, "0")}`;
  return Object.fromEntries(Array.from({ length: 57 }, (_, index) => [named(index), 9]));
}

describe("the metadata of a snapshot", () => {
  it("fit into what every store takes, each at its longest, signed and sealed for many", async () => {
    const pairs = await Promise.all(Array.from({ length: 30 }, agePair));
    const seal = sealWith({
      signingKey: signingPair().signing,
      recipients: pairs.map(({ recipient }) => recipient),
    });
    const version = kongVersion("3.10.100.12345-enterprise-edition");
    const snapshot = snapshotOf("a", {
      kongVersion: version,
      hashes: Object.fromEntries(PARTS.map((part) => [part, "0".repeat(32)])),
      hashMatch: "unchecked",
      controlPlaneTimestamp: 99_999_999_999.999,
      exporterId: "restored:20261121T113500.123Z-0123456789ab.held".padEnd(128, "x"),
      clusterId: CLUSTER_1,
      fencingToken: 999_999_999_999_999,
      entities: manyKinds(),
    });
    const store = new MemoryStore();
    const history = new History({ store, seal, kongVersion: version, maxConfigBytes: 10_000 });
    const id = await history.add(snapshot, { held: "x".repeat(300), conditional: true }, signal);
    const metadata = store.objects.get(`${version}/history/${id}.json.gz`)?.metadata ?? {};
    assert.equal(metadata["entities"]?.length, 512);
    assert.equal(metadata["held"]?.length, 200);
    assert.ok((metadata["sealed-for"]?.length ?? 0) <= 200);
    assert.ok((metadata["signature"]?.length ?? 0) > 100);
    checkMetadata({ ...metadata, rehearsed: "false", "write-id": "0".repeat(16) });
  });

  it("leave out counts that do not fit, and know of no entity where there is none", () => {
    const counts = { ...manyKinds(), more: 1 };
    const encoded = (entities: Record<string, number>) =>
      encodeMetadata(snapshotOf("a", { entities }).metadata)["entities"];
    assert.equal(encoded(counts), undefined);
    assert.equal(encoded({ services: 0 }), "none");
  });
});
