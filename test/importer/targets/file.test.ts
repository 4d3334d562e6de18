/** The file target: at every moment the old file or the new one, and readable for nobody it is not meant for. */

import assert from "node:assert/strict";
import {
  chmod,
  type FileHandle,
  lstat,
  mkdir,
  mkdtemp,
  open,
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
import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, describe, it } from "vitest";
import { FileTarget } from "../../../src/importer/targets/file.ts";
import { TargetError } from "../../../src/importer/targets/port.ts";
import { snapshotOf } from "../../fakes/config.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";

const signal = new AbortController().signal;
const isRoot = process.geteuid?.() === 0;
const OLD = snapshotOf("old");
const NEW = snapshotOf("new");
const NEW_AND_LONGER = snapshotOf("new, and longer than the old one");

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

async function failureOf(promise: Promise<unknown>): Promise<TargetError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof TargetError, String(error));
    return error;
  }
  assert.fail("expected a TargetError");
}

/** Has `body` called in place of a method of every open file. */
async function inPlaceOf(
  method: "sync" | "chmod",
  body: (this: FileHandle) => Promise<void>,
): Promise<Disposable> {
  const handle = await open(directory, "r");
  const prototype: FileHandle = Object.getPrototypeOf(handle);
  await handle.close();
  const original = prototype[method];
  prototype[method] = body;
  return {
    [Symbol.dispose]() {
      Object.assign(prototype, { [method]: original });
    },
  };
}

async function modeOf(file: string): Promise<string> {
  return ((await lstat(file)).mode & 0o7777).toString(8);
}

describe("a file target", () => {
  it("holds the exact bytes, with mode 0640 whatever the umask", async () => {
    for (const umask of [0o000, 0o077]) {
      const before = process.umask(umask);
      try {
        assert.equal(await targetAt(path).apply(NEW, signal), "applied");
      } finally {
        process.umask(before);
      }
      assert.deepEqual(await readFile(path), NEW.config);
      assert.equal(await modeOf(path), "640");
      await rm(path);
    }
  });

  it("takes another mode", async () => {
    await targetAt(path, 0o600).apply(NEW, signal);
    assert.equal(await modeOf(path), "600");
  });

  it("replaces what was there and leaves nothing beside it", async () => {
    const target = targetAt(path);
    await target.apply(OLD, signal);
    assert.equal(await target.apply(NEW, signal), "applied");
    assert.deepEqual(await readFile(path), NEW.config);
    assert.deepEqual(await readdir(directory), ["kong.json"]);
  });

  it("leaves the same bytes alone", async () => {
    const target = targetAt(path);
    await target.apply(NEW, signal);
    const before = await stat(path);
    assert.equal(await target.apply(NEW, signal), "unchanged");
    assert.equal((await stat(path)).ino, before.ino);
  });

  it("tightens a file with the same bytes that others may read", async () => {
    await writeFile(path, NEW.config, { mode: 0o644 });
    assert.equal(await targetAt(path).apply(NEW, signal), "applied");
    assert.equal(await modeOf(path), "640");
  });

  it("replaces a symbolic link instead of writing through it", async () => {
    const elsewhere = join(directory, "elsewhere");
    await writeFile(elsewhere, "mine");
    await symlink(elsewhere, path);
    await targetAt(path).apply(NEW, signal);
    assert.equal(await readFile(elsewhere, "utf8"), "mine");
    assert.ok((await lstat(path)).isFile());
  });

  it("is never seen half-written or readable for others while it is replaced", async () => {
    await targetAt(path).apply(OLD, signal);
    const big = { ...NEW, config: Buffer.alloc(64 * 1024 * 1024, "x") };
    const seen = new Set<string>();
    const umask = process.umask(0);
    let isDone = false;
    const applied = targetAt(path)
      .apply(big, signal)
      .finally(() => {
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
    await targetAt(path).apply(NEW, signal);
    assert.deepEqual((await readdir(directory)).sort(), [
      ".kong.json.b.tmp",
      ".other.json.a.tmp",
      "kong.json",
      "kong.json.bak",
    ]);
  });

  it("keeps the old file when it is told to stop", async () => {
    const target = targetAt(path);
    await target.apply(OLD, signal);
    const reason = new Error("stop");
    await assert.rejects(target.apply(NEW, AbortSignal.abort(reason)), (error) => error === reason);
    const controller = new AbortController();
    const big = { ...NEW, config: Buffer.alloc(64 * 1024 * 1024, "x") };
    const pending = target.apply(big, controller.signal);
    setImmediate().then(() => controller.abort(reason));
    await assert.rejects(pending, (error) => error === reason);
    assert.deepEqual(await readFile(path), OLD.config);
    // What was under way cleans up behind itself.
    while ((await readdir(directory)).length > 1) await setImmediate();
    assert.deepEqual(await readFile(path), OLD.config);
  });

  it("puts the bytes on the disk before it gives them the name", async () => {
    await targetAt(path).apply(OLD, signal);
    const synced: string[] = [];
    using _ = await inPlaceOf("sync", async function (this: FileHandle) {
      const isFile = (await this.stat()).isFile();
      const bytes = isFile ? `${(await this.stat()).size} bytes` : "the directory";
      synced.push(`${bytes}, while the file holds ${(await stat(path)).size}`);
    });
    await targetAt(path).apply(NEW_AND_LONGER, signal);
    const { length } = NEW_AND_LONGER.config;
    assert.deepEqual(synced, [
      `${length} bytes, while the file holds ${OLD.config.length}`,
      `the directory, while the file holds ${length}`,
    ]);
  });

  it("gives a hanging file system up in time, and changes nothing if that wakes up later", async () => {
    await targetAt(path).apply(OLD, signal);
    let wake = () => {};
    const hanging = new Promise<void>((resolve) => {
      wake = resolve;
    });
    let hangs = () => {};
    const hung = new Promise<void>((resolve) => {
      hangs = resolve;
    });
    using _ = await inPlaceOf("sync", () => {
      hangs();
      return hanging;
    });
    const failure = failureOf(targetAt(path).apply(NEW, signal));
    await hung;
    await clock.advance(60_000);
    const error = await failure;
    assert.equal(error.code, "TARGET_UNAVAILABLE");
    assert.equal(
      error.message,
      `could not write the config to ${path}: the file system did not answer within 60 s`,
    );
    wake();
    while ((await readdir(directory)).length > 1) await setImmediate();
    assert.deepEqual(await readFile(path), OLD.config);
  });
});

describe("a file target on a file system that cannot do everything", () => {
  it.each(["EPERM", "ENOTSUP", "EROFS"])(
    "holds the bytes though fchmod gives %s, with a warning",
    async (code) => {
      log.lines.length = 0;
      const refused = Object.assign(new Error(`${code}, fchmod`), { code, syscall: "fchmod" });
      using _ = await inPlaceOf("chmod", () => Promise.reject(refused));
      assert.equal(await targetAt(path).apply(NEW, signal), "applied");
      assert.deepEqual(await readFile(path), NEW.config);
      assert.deepEqual(await readdir(directory), ["kong.json"]);
      assert.deepEqual(
        log.lines.map(({ level, fields }) => [level, fields["mode"], fields["reason"]]),
        [["warn", "640", `${code}, fchmod`]],
      );
    },
  );

  it.each(["EINVAL", "ENOTSUP"])("holds the bytes though fsync gives %s", async (code) => {
    const refused = Object.assign(new Error(`${code}, fsync`), { code, syscall: "fsync" });
    using _ = await inPlaceOf("sync", () => Promise.reject(refused));
    assert.equal(await targetAt(path).apply(NEW, signal), "applied");
    assert.deepEqual(await readFile(path), NEW.config);
  });

  it("keeps the old file where the bytes do not get onto the disk", async () => {
    await targetAt(path).apply(OLD, signal);
    const failed = Object.assign(new Error("ENOSPC, fsync"), { code: "ENOSPC", syscall: "fsync" });
    using _ = await inPlaceOf("sync", () => Promise.reject(failed));
    assert.equal((await failureOf(targetAt(path).apply(NEW, signal))).code, "TARGET_FULL");
    assert.deepEqual(await readFile(path), OLD.config);
    assert.deepEqual(await readdir(directory), ["kong.json"]);
  });

  it("holds the bytes where the directory may be written to, but not read", async () => {
    const blind = join(directory, "blind");
    await mkdir(blind);
    await chmod(blind, 0o333);
    await chmod(directory, 0o755);
    if (isRoot) process.seteuid?.(65534);
    try {
      assert.equal(await targetAt(join(blind, "kong.json")).apply(NEW, signal), "applied");
    } finally {
      if (isRoot) process.seteuid?.(0);
      await chmod(blind, 0o755);
    }
    assert.deepEqual(await readFile(join(blind, "kong.json")), NEW.config);
    assert.deepEqual(await readdir(blind), ["kong.json"]);
  });

  it.each(["x".repeat(240), "ü".repeat(120)])(
    "holds the bytes under a name as long as it takes: %s.json",
    async (name) => {
      const long = join(directory, `${name}.json`);
      const target = targetAt(long);
      await target.apply(OLD, signal);
      assert.equal(await target.apply(NEW, signal), "applied");
      assert.deepEqual(await readFile(long), NEW.config);
      assert.equal(await target.withdraw(signal), true);
      const [aside, ...others] = await readdir(directory);
      assert.match(aside ?? "", /^(x{200}|ü{100})\.superseded$/);
      assert.deepEqual(others, []);
    },
  );
});

describe("a file target that cannot be written", () => {
  it("says that the path is a directory", async () => {
    await mkdir(path);
    const target = targetAt(path);
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
    const error = await failureOf(targetAt(join(directory, "no", "k.json")).apply(NEW, signal));
    assert.equal(error.code, "TARGET_UNWRITABLE");
    assert.match(error.message, /ENOENT/);
    assert.match(error.hint ?? "", new RegExp(`Create the directory ${join(directory, "no")}`));
  });

  it("says that it may not write there, and keeps the old file", async () => {
    await targetAt(path).apply(OLD, signal);
    await chmod(directory, 0o555);
    if (isRoot) process.seteuid?.(65534);
    try {
      const error = await failureOf(targetAt(path).apply(NEW, signal));
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
    const target = targetAt(path);
    await target.apply(OLD, signal);
    assert.equal(await target.withdraw(signal), true);
    assert.deepEqual(await readdir(directory), ["kong.json.superseded"]);
    assert.deepEqual(await readFile(`${path}.superseded`), OLD.config);
    assert.equal(await modeOf(`${path}.superseded`), "640");
  });

  it("finds nothing the second time, nor in a directory that is not there", async () => {
    const target = targetAt(path);
    await target.apply(OLD, signal);
    await target.withdraw(signal);
    assert.equal(await target.withdraw(signal), false);
    assert.equal(await targetAt(join(directory, "no", "k.json")).withdraw(signal), false);
  });

  it("rejects with the reason of an abort", async () => {
    const reason = new Error("stop");
    const withdrawn = targetAt(path).withdraw(AbortSignal.abort(reason));
    await assert.rejects(withdrawn, (error) => error === reason);
  });
});
