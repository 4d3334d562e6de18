import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "vitest";
import { CLI, Run } from "../e2e/cli.ts";
import { HASTE } from "../e2e/sidecar.ts";
import { frameOf, Stage } from "../e2e/stage.ts";
import { snapshotOf } from "../fakes/config.ts";
import { FakeControlPlane } from "../fakes/control-plane.ts";

const TIMEOUT_MS = 60_000;

/** Loaded before the program: an umask that forbids nothing, and the permissions of all it creates, at the moment it does. */
const WATCH = `data:text/javascript,${encodeURIComponent(`
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
process.umask(0);
const tell = (path, mode) => fs.writeSync(2, "\\nMADE " + mode.toString(8) + " " + path + "\\n");
for (const api of [fs.promises]) {
  const { open, mkdir, writeFile } = api;
  api.open = async (path, flags, mode) => {
    const made = /[wa]/.test(String(flags));
    const file = await open(path, flags, mode);
    if (made) tell(path, (await file.stat()).mode & 0o777);
    return file;
  };
  api.mkdir = async (path, options) => {
    const made = await mkdir(path, options);
    tell(path, fs.statSync(path).mode & 0o777);
    return made;
  };
  api.writeFile = async (path, ...rest) => {
    await writeFile(path, ...rest);
    if (typeof path === "string") tell(path, fs.statSync(path).mode & 0o777);
  };
}
syncBuiltinESMExports();
`)}`;
const OPTIONS = { NODE_OPTIONS: `--import=${WATCH}` };

/** Permissions of what the program made, as it made it, by path. */
function madeBy(run: Run): readonly (readonly [path: string, mode: number])[] {
  return run.stderr.flatMap((line) => {
    const [, mode, path = ""] = /^MADE (\d+) (.*)$/.exec(line) ?? [];
    return mode === undefined ? [] : [[path, Number.parseInt(mode, 8)] as const];
  });
}

async function filesBelow(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true });
  return [directory, ...entries.map((entry) => join(entry.parentPath, entry.name))];
}

describe("with an umask that forbids nothing", () => {
  it("state, store and target are for nobody else, nor were they for a moment", {
    timeout: TIMEOUT_MS,
  }, async () => {
    await using stage = await Stage.open();
    const config = frameOf("a").frame;
    await using controlPlane = await FakeControlPlane.listen({ tls: stage.tls, config });
    const environment = { ...stage.environment(controlPlane.address.port), ...OPTIONS };
    await using exporter = new Run(["export"], environment);
    await exporter.logged("snapshot saved");
    exporter.signal("SIGTERM");
    await exporter.ended();
    const env = { ...environment, KONG_CLUSTER_CONTROL_PLANE: "127.0.0.1:1", ...HASTE };
    await using sidecar = new Run(["serve"], { ...env, KONG_LOG_LEVEL: "debug" });
    await sidecar.logged("config kept on the local disk");
    sidecar.signal("SIGTERM");
    await sidecar.ended();
    await using importer = new Run(["import", "--force"], env);
    assert.equal(await importer.ended(), 0, importer.stderr.join("\n"));
    const history = (await readdir(stage.path("store/3.9.1/history"))).find((name) =>
      name.endsWith(".gz"),
    );
    const id = history?.replace(".json.gz", "") ?? "";
    await using restorer = new Run(["snapshots", "restore", id, "--yes"], env);
    assert.equal(await restorer.ended(), 0, restorer.stderr.join("\n"));

    const made = [exporter, sidecar, importer, restorer].map(madeBy);
    for (const each of made.slice(0, 3)) assert.ok(each.length > 0, "nothing was watched");
    for (const [path, mode] of made.flat())
      assert.equal(mode & 0o077, 0, `${mode.toString(8)} ${path}`);
    for (const path of [
      ...(await filesBelow(stage.path("state"))),
      ...(await filesBelow(stage.path("store"))),
    ]) {
      const info = await stat(path);
      assert.equal(info.mode & 0o777, info.isDirectory() ? 0o700 : 0o600, path);
    }
    assert.equal((await stat(stage.path("kong.json"))).mode & 0o777, 0o640);
  });
});

describe("an import that is killed at any moment", () => {
  it("leaves the old file or the new one, and nothing that others can read", {
    timeout: TIMEOUT_MS,
  }, async () => {
    await using stage = await Stage.open();
    const padding = "x".repeat(4_000_000);
    const text = `{"_format_version":"3.0","_transform":false,"services":[{"name":"${padding}"}]}`;
    const directory = stage.path("store", "3.9.1");
    await stage.save(snapshotOf("seed"));
    await writeFile(join(directory, "config.json"), text);
    const target = stage.path("kong.json");
    await writeFile(target, "old", { mode: 0o640 });
    let killed = 0;
    // The kill comes with the first sign of the write, then ever later behind it.
    for (let delay = 0; delay < 8; delay += 1) {
      const { PATH = "" } = process.env;
      const env = { PATH, ...stage.environment(1), ...OPTIONS };
      const child = spawn(process.execPath, [CLI, "import", "--force"], { env });
      child.stderr.on("data", (chunk: Buffer) => {
        if (!chunk.toString().includes(".kong.json.")) return;
        for (let turn = 0; turn < delay * 2e6; turn += 1);
        killed += child.kill("SIGKILL") ? 1 : 0;
      });
      await once(child, "close");
      const now = await readFile(target, "utf8");
      assert.ok(now === "old" || now === text, `${now.length} characters`);
      for (const name of await readdir(stage.directory)) {
        const info = await stat(stage.path(name));
        if (name.startsWith(".kong.json.")) assert.equal(info.mode & 0o007, 0, name);
      }
      await writeFile(target, "old", { mode: 0o640 });
    }
    assert.ok(killed > 0, "none was killed");
  });
});
