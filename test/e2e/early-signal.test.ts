/** A signal that comes while the program is still being loaded, to the first process of a container, is not lost. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, it } from "vitest";
import { CLI } from "./cli.ts";

/** Signals itself as soon as a module besides the entry is asked for, and says so. */
const HOOKS = `
import { writeSync } from "node:fs";
export async function resolve(specifier, context, next) {
  if (context.parentURL?.endsWith("/dist/cli.js")) {
    writeSync(2, "loading\\n");
    process.kill(process.pid, "SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
  return next(specifier, context);
}
`;

/** As the first process of a PID namespace, which has no default action for signals. */
const FIRST_PROCESS = ["unshare", "--fork", "--pid", "--mount-proc", "--user", "--map-root-user"];
const [command = "", ...flags] = FIRST_PROCESS;
const canUnshare = spawnSync(command, [...flags, "true"]).status === 0;

describe("SIGTERM while the program is loaded", () => {
  it.skipIf(!canUnshare)("ends the first process of a container", async () => {
    const folder = await mkdtemp(join(tmpdir(), "early-signal-"));
    try {
      const hooks = join(folder, "hooks.mjs");
      const register = join(folder, "register.mjs");
      await writeFile(hooks, HOOKS);
      const { href } = pathToFileURL(hooks);
      await writeFile(
        register,
        `import { register } from "node:module"; register(${JSON.stringify(href)});`,
      );
      const child = spawn(
        command,
        [...flags, process.execPath, "--import", register, CLI, "--help"],
        { stdio: ["ignore", "pipe", "pipe"] },
      );
      let stdout = "";
      let stderr = "";
      child.stdout.on("data", (chunk) => {
        stdout += chunk;
      });
      child.stderr.on("data", (chunk) => {
        stderr += chunk;
      });
      const [status] = await once(child, "close");
      assert.deepEqual([status, stdout], [143, ""], stderr);
      assert.match(stderr, /^loading$/m);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
