/** What `export` asks of a config by its settings, without a control plane. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { openGates } from "../../src/commands/gates.ts";
import type { GateAnswer } from "../../src/exporter/gates.ts";
import { readSettings } from "../../src/runtime/settings.ts";
import { candidateOf } from "../exporter/stage.ts";
import { updateOf, V391 } from "../fakes/config.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { RecordingLog } from "../fakes/recording-log.ts";

const METRICS = { rehearsed: () => {}, checked: () => {} };
const CUSTOM = {
  _format_version: "3.0",
  plugins: [{ id: "p1", name: "my-plugin" }],
  my_plugin_rows: [{ some: "row" }],
};

async function answersOn(
  config: object,
  environment: Readonly<Record<string, string>>,
): Promise<readonly GateAnswer[]> {
  const log = new RecordingLog();
  const settings = readSettings({ KONG_VERSION: V391, ...environment });
  await using gates = openGates({ settings, clock: new ManualClock() }, undefined);
  const update = { ...updateOf("a"), configTable: Buffer.from(JSON.stringify(config)) };
  const candidate = candidateOf(update);
  const { signal } = new AbortController();
  return Promise.all(gates.of(V391, log, METRICS).map((gate) => gate.examine(candidate, signal)));
}

describe("the static checks of export", () => {
  const refuse = { KONG_FALLBACK_CHECKS: "refuse" };

  it("take what KONG_PLUGINS names for known, and what it may bring along", async () => {
    const environment = { ...refuse, KONG_PLUGINS: "bundled,my-plugin" };
    assert.deepEqual(await answersOn(CUSTOM, environment), [{ kind: "pass" }]);
  });

  it("hold back what it does not name", async () => {
    const [answer] = await answersOn(CUSTOM, refuse);
    assert.equal(answer?.kind, "held");
  });
});
