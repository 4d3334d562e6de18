/** The file target on a full disk, and killed in the middle of a write. */

import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { watch } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, it } from "vitest";
import { FileTarget } from "../../../src/importer/targets/file.ts";
import { TargetError } from "../../../src/importer/targets/port.ts";
import { snapshotOf } from "../../fakes/config.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";

const signal = new AbortController().signal;
const OLD = snapshotOf("old");
const NEW = snapshotOf("new");

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "file-target-"));
  path = join(directory, "kong.json");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const clock = new ManualClock();
const log = new RecordingLog();

function targetAt(at: string, mode = 0o640): FileTarget {
  return new FileTarget({ path: at, mode, timeoutMs: 60_000, clock, log });
}

/** A tmpfs of 1 MiB; needs root and the right to mount. */
function mountSmall(at: string): boolean {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", at], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

describe("a full disk", () => {
  it("keeps the old file, leaves no temporary one and says what is missing", async (context) => {
    const small = join(directory, "small");
    await mkdir(small);
    if (!mountSmall(small)) return context.skip("no tmpfs can be mounted: it takes root");
    try {
      const target = targetAt(join(small, "kong.json"));
      await target.apply(OLD, signal);
      const big = { ...NEW, config: Buffer.alloc(2 * 1024 * 1024, "x") };
      const error = await target.apply(big, signal).then(
        () => undefined,
        (it: unknown) => it,
      );
      assert.ok(error instanceof TargetError, String(error));
      assert.equal(error.code, "TARGET_FULL");
      assert.match(error.message, /\(2097152 bytes\): ENOSPC/);
      assert.match(error.hint ?? "", /Free space on the file system of/);
      assert.deepEqual(await readFile(join(small, "kong.json")), OLD.config);
      assert.deepEqual(await readdir(small), ["kong.json"]);
      assert.equal(await target.apply(NEW, signal), "applied");
    } finally {
      execFileSync("umount", [small]);
    }
  });
});

describe("a file that is mounted by itself", () => {
  it("keeps what it holds, and the hint says what to mount", async (context) => {
    await writeFile(path, OLD.config);
    try {
      execFileSync("mount", ["--bind", path, path], { stdio: "ignore" });
    } catch {
      return context.skip("no file can be mounted: it takes root");
    }
    try {
      const error = await targetAt(path)
        .apply(NEW, signal)
        .then(assert.fail, (it: unknown) => it);
      assert.ok(error instanceof TargetError, String(error));
      assert.match(error.message, /EBUSY/);
      assert.equal(
        error.hint,
        `Mount the directory ${directory}, not the single file: a mount point cannot be replaced.`,
      );
      assert.deepEqual(await readFile(path), OLD.config);
      assert.deepEqual(await readdir(directory), ["kong.json"]);
    } finally {
      execFileSync("umount", [path]);
    }
  });
});

/** The target in a process of its own, which can be killed: compiled, since Node 20 runs no TypeScript. */
describe("an import that is killed", () => {
  const root = fileURLToPath(new URL("../../../", import.meta.url));
  const SCRIPT = `
    import { FileTarget } from "./importer/targets/file.js";
    import { systemClock } from "./runtime/clock.js";
    const config = Buffer.alloc(256 * 1024 * 1024, "x");
    const ready = new Promise((resolve) => process.once("message", resolve));
    process.send("ready");
    await ready;
    const path = process.argv[2];
    const target = new FileTarget({ path, mode: 0o640, timeoutMs: 60_000, clock: systemClock });
    await target.apply({ config, metadata: undefined }, new AbortController().signal);
    process.disconnect();
  `;
  let compiled: string;

  beforeAll(async () => {
    compiled = await mkdtemp(join(tmpdir(), "file-target-compiled-"));
    await writeFile(join(compiled, "package.json"), '{"type":"module"}');
    await writeFile(join(compiled, "run.js"), SCRIPT);
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
    const config = {
      extends: join(root, "tsconfig.json"),
      compilerOptions: { noEmit: false, rootDir: join(root, "src"), outDir: compiled },
      include: [join(root, "src")],
    };
    await writeFile(join(compiled, "tsconfig.json"), JSON.stringify(config));
    const arguments_ = [tsc, "-p", compiled];
    // Types are checked elsewhere; here only the output counts.
    await promisify(execFile)(process.execPath, arguments_).catch(() => {});
  });
  afterAll(() => rm(compiled, { recursive: true, force: true }));

  it("leaves the old file whole, and a temporary one that only its owner can read", async () => {
    await targetAt(path).apply(OLD, signal);
    // A kill may come after the rename on a quick disk; then the next try gets it.
    for (let attempt = 1; ; attempt += 1) {
      const child = spawn(process.execPath, [join(compiled, "run.js"), path], {
        stdio: ["ignore", "ignore", "inherit", "ipc"],
      });
      await once(child, "message");
      const writing = temporaryWritten(directory);
      child.send("go");
      await writing;
      child.kill("SIGKILL");
      await once(child, "exit");
      const left = (await readdir(directory)).filter((name) => name !== "kong.json");
      if (left[0] === undefined && attempt < 20) {
        await targetAt(path).apply(OLD, signal);
        continue;
      }
      assert.equal(left.length, 1);
      const temporary = join(directory, left[0] ?? "");
      const { size, mode } = await stat(temporary);
      assert.ok(size === 256 * 1024 * 1024 || (mode & 0o777) === 0o600);
      assert.deepEqual(await readFile(path), OLD.config);
      break;
    }
    assert.equal(await targetAt(path).apply(NEW, signal), "applied");
    assert.deepEqual(await readFile(path), NEW.config);
  });
});

/** Resolves when bytes are being written into a temporary file. */
function temporaryWritten(directory: string): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(directory, (event, name) => {
      if (event !== "change" || !name?.endsWith(".tmp")) return;
      watcher.close();
      resolve();
    });
  });
}
