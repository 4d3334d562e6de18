/** All that the roles do with a store, by the built program: first an exporter's life, then that of the readers. */

import assert from "node:assert/strict";
import { Run, runOnce } from "../e2e/cli.ts";
import { Sidecar } from "../e2e/sidecar.ts";
import { frameOf, Stage } from "../e2e/stage.ts";
import { FakeControlPlane } from "../fakes/control-plane.ts";

type Environment = Readonly<Record<string, string>>;

const TIMESTAMP = 1_795_220_000;

/**
 * A new store and a restart of the exporter: the probe, the election, three saves, the history and its
 * pruning, then `snapshots restore` and `prune`.
 */
export async function liveAsExporter(store: Environment): Promise<void> {
  await using stage = await Stage.open();
  const [first, ...later] = ["a", "b", "c"].map((name, at) => frameOf(name, TIMESTAMP + at).frame);
  assert.ok(first);
  let environment: Environment = {};
  const listen = async (config = first) => {
    const controlPlane = await FakeControlPlane.listen({ tls: stage.tls, config });
    const more = { ...store, KONG_FALLBACK_HISTORY_MAX_COUNT: "2" };
    environment = stage.environment(controlPlane.address.port, more);
    return controlPlane;
  };
  {
    await using controlPlane = await listen();
    await using exporter = new Run(["export"], environment);
    await exporter.logged("snapshot saved");
    const session = await controlPlane.session();
    for (const [at, frame] of later.entries()) {
      session.sendConfig(frame);
      await exporter.logged("snapshot saved", at + 2);
    }
    await stop(exporter);
  }
  {
    await using _controlPlane = await listen(later.at(-1));
    await using again = new Run(["export"], environment);
    await again.logged("snapshot found");
    await stop(again);
  }
  await runWell(["snapshots", "prune"], { ...environment, KONG_FALLBACK_HISTORY_MAX_COUNT: "1" });
  const { stdout } = await runWell(["snapshots", "list", "--json"], environment);
  const [{ history }] = JSON.parse(stdout.toString()) as [{ history: readonly { id: string }[] }];
  await runWell(["snapshots", "restore", history.at(-1)?.id ?? "", "--yes"], environment);
}

/**
 * Over what an exporter has saved: `import`, of another patch version too, `serve` until it has what
 * it serves, `status`, and the `snapshots` actions that only read. Then `damage` spoils the current
 * object, and `import` goes to the history.
 */
export async function liveAsReader(store: Environment, damage: () => Promise<void>): Promise<void> {
  await using stage = await Stage.open();
  const environment = stage.environment(1, store);
  await runWell(["import", "--force"], environment);
  await runWell(["import", "--force"], { ...environment, KONG_VERSION: "3.9.2" });
  for (const action of ["list", "show", "verify"])
    await runWell(["snapshots", action], environment);
  await runOnce(["status"], environment);
  {
    await using sidecar = await Sidecar.start(stage, 1, store);
    await sidecar.run.logged("snapshot taken from the store");
  }
  await damage();
  await runWell(["import", "--force"], environment);
}

async function stop(run: Run): Promise<void> {
  run.signal("SIGTERM");
  assert.equal(await run.ended(), 143, run.stderr.join("\n"));
  const failed = run.log.filter(({ level }) => level === "error");
  assert.deepEqual(failed, []);
}

async function runWell(argv: readonly string[], environment: Environment) {
  const result = await runOnce(argv, environment);
  assert.equal(result.status, 0, `${argv.join(" ")}: ${result.stderr}`);
  return result;
}
