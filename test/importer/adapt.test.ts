import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { adaptSnapshot } from "../../src/importer/import.ts";
import { kongVersion, snapshotOf, V391 } from "../fakes/config.ts";
import { RecordingLog } from "../fakes/recording-log.ts";

const TARGET = { kongVersion: V391, plugins: ["bundled"] };

function snapshotWith(table: object) {
  const config = Buffer.from(JSON.stringify({ _format_version: "3.0", ...table }));
  return { ...snapshotOf("any"), config };
}

describe("adapting a snapshot on its way to the target", () => {
  it("hands over the very same one where it fits, and says so at debug only", () => {
    const log = new RecordingLog();
    const snapshot = snapshotWith({ services: [{ id: "1", name: "a" }] });
    const adapted = adaptSnapshot(snapshot, TARGET, log);
    assert.equal(adapted.snapshot, snapshot);
    assert.deepEqual(adapted.changes, []);
    assert.deepEqual(
      log.lines.map(({ level, message }) => [level, message]),
      [["debug", "config fits open-source Kong as it is"]],
    );
  });

  it("hands over a changed one without metadata, whose digest and hash would be wrong", () => {
    const log = new RecordingLog();
    const { snapshot, changes } = adaptSnapshot(snapshotWith({ licenses: [{}] }), TARGET, log);
    assert.equal(snapshot.metadata, undefined);
    assert.equal(Buffer.from(snapshot.config).toString(), '{"_format_version":"3.0"}');
    assert.equal(changes.length, 1);
    assert.deepEqual(
      log.lines.map(({ level, message }) => [level, message]),
      [
        ["info", "config changed to fit open-source Kong"],
        ["info", "config adapted to open-source Kong"],
      ],
    );
  });

  it("warns of settings of plugins that are dropped", () => {
    const log = new RecordingLog();
    const plugins = [{ id: "1", name: "rate-limiting", config: { minute: 1, redis: { port: 1 } } }];
    adaptSnapshot(snapshotWith({ plugins }), { ...TARGET, kongVersion: kongVersion("3.4.2") }, log);
    const warnings = log.lines.filter(({ level }) => level === "warn");
    assert.deepEqual(
      warnings.map(({ message }) => message),
      ["settings of plugins were dropped that this Kong does not have"],
    );
  });
});
