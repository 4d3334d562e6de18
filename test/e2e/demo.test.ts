import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "vitest";
import { CLI, runOnce } from "./cli.ts";
import { captured, Stage } from "./stage.ts";

describe("kong-fallback demo", () => {
  it("tells the whole story, leaves its files to look at, and ends with 0", async () => {
    await using stage = await Stage.open();
    const { status, stdout, stderr } = await runOnce(["demo"], { TMPDIR: stage.directory });
    assert.equal(status, 0);
    assert.equal(stderr, "");
    const text = stdout.toString();
    assert.equal(text.match(/^ok {4,}\d+\.\d\d s {2}/gm)?.length, 12, text);
    assert.match(text, /Every promise held/);
    const long = text.split("\n").filter((line) => line.length > 100);
    assert.ok(
      long.every((line) => line.includes(stage.directory)),
      long.join("\n"),
    );
    const [directory = ""] = /\/\S*kong-fallback-demo-\w+/.exec(text) ?? [];
    const imported = await readFile(join(directory, "data-plane", "kong.json"));
    assert.deepEqual(imported, await readFile(join(directory, "store", "3.9.1", "config.json")));
    const config = JSON.parse(imported.toString());
    const recorded = JSON.parse(captured("3.9.1", "rich").configTable.toString());
    assert.equal(config.services.length, recorded.services.length + 1);
    assert.deepEqual({ ...config, services: recorded.services }, recorded);
    for (const secret of ["cluster.key", "demo.log"]) {
      assert.equal((await stat(join(directory, secret))).mode & 0o077, 0, secret);
    }
  });

  it("gives its steps as JSON", async () => {
    await using stage = await Stage.open();
    const { status, stdout } = await runOnce(["demo", "--json"], { TMPDIR: stage.directory });
    assert.equal(status, 0);
    const { ok, steps } = JSON.parse(stdout.toString());
    assert.equal(ok, true);
    assert.ok(steps.length === 12 && steps.every((step: { ok: boolean }) => step.ok));
  });

  it("ends with 1 and names the promise when one is broken", async () => {
    await using stage = await Stage.open();
    // Files may not grow beyond 8 KiB, so the config cannot be saved.
    const script = `ulimit -f 8; exec "${process.execPath}" "${CLI}" demo`;
    const { code, stdout } = await new Promise<{ code: unknown; stdout: string }>((resolve) => {
      const env = { PATH: process.env["PATH"] ?? "", TMPDIR: stage.directory };
      execFile("bash", ["-c", script], { env }, (error, output) =>
        resolve({ code: error?.code, stdout: output }),
      );
    });
    assert.equal(code, 1);
    assert.match(stdout, /^FAILED.*export: /m);
    assert.match(stdout, /A promise was broken/);
  });
});
