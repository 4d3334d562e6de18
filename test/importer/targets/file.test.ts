/** The file target: at every moment the old file or the new one, and readable for nobody it is not meant for. */

import assert from "node:assert/strict";
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "vitest";
import { FileTarget } from "../../../src/importer/targets/file.ts";
import { TargetError } from "../../../src/importer/targets/port.ts";
import { snapshotOf } from "../../fakes/config.ts";

const signal = new AbortController().signal;
const isRoot = process.geteuid?.() === 0;
const OLD = snapshotOf("old");
const NEW = snapshotOf("new");

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "file-target-"));
  path = join(directory, "kong.json");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function failureOf(promise: Promise<unknown>): Promise<TargetError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof TargetError, String(error));
    return error;
  }
  assert.fail("expected a TargetError");
}

async function modeOf(file: string): Promise<string> {
  return ((await lstat(file)).mode & 0o7777).toString(8);
}

describe("a file target", () => {
  it("holds the exact bytes, with mode 0640 whatever the umask", async () => {
    for (const umask of [0o000, 0o077]) {
      const before = process.umask(umask);
      try {
        assert.equal(await new FileTarget(path).apply(NEW, signal), "applied");
      } finally {
        process.umask(before);
      }
      assert.deepEqual(await readFile(path), NEW.config);
      assert.equal(await modeOf(path), "640");
      await rm(path);
    }
  });

  it("takes another mode", async () => {
    await new FileTarget(path, 0o600).apply(NEW, signal);
    assert.equal(await modeOf(path), "600");
  });

  it("replaces what was there and leaves nothing beside it", async () => {
    const target = new FileTarget(path);
    await target.apply(OLD, signal);
    assert.equal(await target.apply(NEW, signal), "applied");
    assert.deepEqual(await readFile(path), NEW.config);
    assert.deepEqual(await readdir(directory), ["kong.json"]);
  });

  it("leaves the same bytes alone", async () => {
    const target = new FileTarget(path);
    await target.apply(NEW, signal);
    const before = await stat(path);
    assert.equal(await target.apply(NEW, signal), "unchanged");
    assert.equal((await stat(path)).ino, before.ino);
  });

  it("tightens a file with the same bytes that others may read", async () => {
    await writeFile(path, NEW.config, { mode: 0o644 });
    assert.equal(await new FileTarget(path).apply(NEW, signal), "applied");
    assert.equal(await modeOf(path), "640");
  });

  it("replaces a symbolic link instead of writing through it", async () => {
    const elsewhere = join(directory, "elsewhere");
    await writeFile(elsewhere, "mine");
    await symlink(elsewhere, path);
    await new FileTarget(path).apply(NEW, signal);
    assert.equal(await readFile(elsewhere, "utf8"), "mine");
    assert.ok((await lstat(path)).isFile());
  });

  it("is never seen half-written or readable for others while it is replaced", async () => {
    await new FileTarget(path).apply(OLD, signal);
    const big = { ...NEW, config: Buffer.alloc(64 * 1024 * 1024, "x") };
    const seen = new Set<string>();
    const umask = process.umask(0);
    let isDone = false;
    const applied = new FileTarget(path).apply(big, signal).finally(() => {
      isDone = true;
    });
    while (!isDone) {
      for (const name of await readdir(directory)) {
        const info = await lstat(join(directory, name)).catch(() => undefined);
        if (info === undefined) continue;
        const mode = (info.mode & 0o777).toString(8);
        if (name === "kong.json") seen.add(`${name} ${mode} ${info.size}`);
        else seen.add(`temporary ${mode}`);
      }
    }
    await applied;
    process.umask(umask);
    seen.add(`kong.json ${await modeOf(path)} ${(await stat(path)).size}`);
    assert.ok(seen.has("temporary 600"), "the temporary file must have been caught");
    const allowed = [
      `kong.json 640 ${OLD.config.length}`,
      `kong.json 640 ${big.config.length}`,
      "temporary 600",
      "temporary 640",
    ];
    assert.deepEqual(
      [...seen].filter((what) => !allowed.includes(what)),
      [],
    );
  });

  it("clears away what a killed run left an hour ago, and nothing else", async () => {
    const anHourAgo = new Date(Date.now() - 3_700_000);
    const names = [".kong.json.a.tmp", ".kong.json.b.tmp", ".other.json.a.tmp", "kong.json.bak"];
    for (const name of names) await writeFile(join(directory, name), "left");
    for (const name of [".kong.json.a.tmp", ".other.json.a.tmp", "kong.json.bak"]) {
      await utimes(join(directory, name), anHourAgo, anHourAgo);
    }
    await new FileTarget(path).apply(NEW, signal);
    assert.deepEqual((await readdir(directory)).sort(), [
      ".kong.json.b.tmp",
      ".other.json.a.tmp",
      "kong.json",
      "kong.json.bak",
    ]);
  });

  it("keeps the old file when it is told to stop", async () => {
    const target = new FileTarget(path);
    await target.apply(OLD, signal);
    const reason = new Error("stop");
    await assert.rejects(target.apply(NEW, AbortSignal.abort(reason)), (error) => error === reason);
    const controller = new AbortController();
    const big = { ...NEW, config: Buffer.alloc(64 * 1024 * 1024, "x") };
    const pending = target.apply(big, controller.signal);
    setImmediate(() => controller.abort(reason));
    await assert.rejects(pending, (error) => error === reason);
    assert.deepEqual(await readFile(path), OLD.config);
    assert.deepEqual(await readdir(directory), ["kong.json"]);
  });
});

describe("a file target that cannot be written", () => {
  it("says that the path is a directory", async () => {
    await mkdir(path);
    const target = new FileTarget(path);
    const error = await failureOf(target.apply(NEW, signal));
    assert.equal(error.code, "TARGET_UNWRITABLE");
    assert.equal(error.exitStatus, 4);
    assert.equal(
      error.message,
      `could not write the config to ${path}: it is a directory (EISDIR)`,
    );
    assert.match(error.hint ?? "", /kong\.json/);
    assert.equal((await failureOf(target.withdraw(signal))).code, "TARGET_UNWRITABLE");
    assert.ok((await stat(path)).isDirectory());
  });

  it("says that the directory is missing", async () => {
    const error = await failureOf(
      new FileTarget(join(directory, "no", "k.json")).apply(NEW, signal),
    );
    assert.equal(error.code, "TARGET_UNWRITABLE");
    assert.match(error.message, /ENOENT/);
    assert.match(error.hint ?? "", new RegExp(`Create the directory ${join(directory, "no")}`));
  });

  it("says that it may not write there, and keeps the old file", async () => {
    await new FileTarget(path).apply(OLD, signal);
    await chmod(directory, 0o555);
    if (isRoot) process.seteuid?.(65534);
    try {
      const error = await failureOf(new FileTarget(path).apply(NEW, signal));
      assert.equal(error.code, "TARGET_UNWRITABLE");
      assert.match(error.message, /EACCES/);
      assert.match(error.hint ?? "", /fsGroup/);
    } finally {
      if (isRoot) process.seteuid?.(0);
      await chmod(directory, 0o755);
    }
    assert.deepEqual(await readFile(path), OLD.config);
  });
});

describe("withdrawing a file", () => {
  it("keeps its bytes and mode aside", async () => {
    const target = new FileTarget(path);
    await target.apply(OLD, signal);
    assert.equal(await target.withdraw(signal), true);
    assert.deepEqual(await readdir(directory), ["kong.json.superseded"]);
    assert.deepEqual(await readFile(`${path}.superseded`), OLD.config);
    assert.equal(await modeOf(`${path}.superseded`), "640");
  });

  it("finds nothing the second time, nor in a directory that is not there", async () => {
    const target = new FileTarget(path);
    await target.apply(OLD, signal);
    await target.withdraw(signal);
    assert.equal(await target.withdraw(signal), false);
    assert.equal(await new FileTarget(join(directory, "no", "k.json")).withdraw(signal), false);
  });

  it("rejects with the reason of an abort", async () => {
    const reason = new Error("stop");
    const withdrawn = new FileTarget(path).withdraw(AbortSignal.abort(reason));
    await assert.rejects(withdrawn, (error) => error === reason);
  });
});
