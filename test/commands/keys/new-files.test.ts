import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "vitest";
import { KeyFilesError, writeNewFiles } from "../../../src/commands/keys/keys.ts";
import { Secret } from "../../../src/core/secret.ts";

const FILES = [
  { name: "a.key", text: new Secret("secret"), mode: 0o600 },
  { name: "a.pub", text: new Secret("public"), mode: 0o644 },
] as const;

describe("the files of new keys", () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "kong-fallback-new-files-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("are made with their directory, readable by others only where they may be", async () => {
    const out = join(folder, "new", "keys");
    assert.deepEqual(await writeNewFiles(out, FILES), [join(out, "a.key"), join(out, "a.pub")]);
    const modeOf = async (path: string) => (await stat(path)).mode & 0o777;
    assert.equal(await modeOf(out), 0o700);
    assert.equal(await modeOf(join(out, "a.key")), 0o600);
    assert.equal(await modeOf(join(out, "a.pub")), 0o644 & ~process.umask());
    assert.equal(await readFile(join(out, "a.key"), "utf8"), "secret");
  });

  it("never take the place of another, and the first is not left behind without the second", async () => {
    await writeFile(join(folder, "a.pub"), "another");
    await assert.rejects(writeNewFiles(folder, FILES), (error) => {
      assert.ok(error instanceof KeyFilesError);
      assert.equal(error.exitStatus, 2);
      assert.match(error.message, /: a\.pub already exists$/);
      return true;
    });
    assert.deepEqual(await readdir(folder), ["a.pub"]);
    assert.equal(await readFile(join(folder, "a.pub"), "utf8"), "another");
  });

  it("are not written through a link", async () => {
    await symlink(join(folder, "elsewhere"), join(folder, "a.key"));
    await assert.rejects(writeNewFiles(folder, FILES), KeyFilesError);
    assert.deepEqual(await readdir(folder), ["a.key"]);
  });

  it("are refused where there is no directory to be made", async () => {
    await writeFile(join(folder, "file"), "");
    await assert.rejects(writeNewFiles(join(folder, "file", "keys"), FILES), KeyFilesError);
  });
});
