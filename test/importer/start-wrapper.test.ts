/** deploy/start-wrapper/kong-start.sh, run with an entrypoint that shows what it was given. */

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, it } from "vitest";

const WRAPPER = fileURLToPath(new URL("../../deploy/start-wrapper/kong-start.sh", import.meta.url));

let directory: string;
let file: string;
let entrypoint: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "start wrapper-"));
  file = join(directory, "kong.json");
  entrypoint = join(directory, "entrypoint.sh");
  const script = `#!/bin/sh\necho "config=\${KONG_DECLARATIVE_CONFIG-none}"\nprintf 'argument=%s\\n' "$@"\n`;
  await writeFile(entrypoint, script, { mode: 0o755 });
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** Nobody, where the tests are root's, who may read all. */
const SOMEBODY = process.geteuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

async function start(
  arguments_: readonly string[],
  environment: Record<string, string> = {},
  user: { readonly uid?: number; readonly gid?: number } = {},
) {
  const env = {
    PATH: process.env["PATH"] ?? "",
    KONG_FALLBACK_FILE: file,
    KONG_FALLBACK_ENTRYPOINT: entrypoint,
    KONG_PREFIX: directory,
    ...environment,
  };
  const { stdout } = await promisify(execFile)(WRAPPER, arguments_, { env, ...user });
  return stdout.trimEnd().split("\n");
}

describe("the start wrapper", () => {
  it("starts Kong from the file that the importer left", async () => {
    await writeFile(file, "{}");
    assert.deepEqual(await start(["kong", "docker-start"]), [
      `config=${file}`,
      "argument=kong",
      "argument=docker-start",
    ]);
  });

  it("starts Kong as usual where the importer left none, or withdrew it", async () => {
    assert.deepEqual((await start(["kong"]))[0], "config=none");
    await writeFile(`${file}.superseded`, "{}");
    assert.deepEqual((await start(["kong"]))[0], "config=none");
  });

  it("does not take an empty file for a config", async () => {
    await writeFile(file, "");
    assert.deepEqual((await start(["kong"]))[0], "config=none");
  });

  it("starts Kong without a file that it may not read, and would not start with", async (context) => {
    await chmod(directory, 0o755);
    await writeFile(file, "{}", { mode: 0o000 });
    const isReadable = await promisify(execFile)(WRAPPER, ["-"], {
      env: { KONG_FALLBACK_ENTRYPOINT: "/bin/true" },
      ...SOMEBODY,
    }).then(
      () => true,
      () => false,
    );
    if (!isReadable) return context.skip("another user may not enter this directory");
    assert.deepEqual((await start(["kong"], {}, SOMEBODY))[0], "config=none");
  });

  it("leaves a KONG_DECLARATIVE_CONFIG of the operator alone where there is no file", async () => {
    const lines = await start(["kong"], { KONG_DECLARATIVE_CONFIG: "/etc/kong.yml" });
    assert.equal(lines[0], "config=/etc/kong.yml");
  });

  it.each([
    ["a config newer than the file", "small-3.9", 1, "none"],
    ["a config older than the file", "small-3.9", -1, "file"],
    ["no config yet", "fresh-3.9", 1, "file"],
    ["an empty config", "empty-3.9", 1, "file"],
  ])(
    "decides after a crash, with %s in Kong's cache",
    async (_name, fixture, ageSeconds, expected) => {
      await writeFile(file, "{}");
      await mkdir(join(directory, "dbless.lmdb"));
      const cache = join(directory, "dbless.lmdb", "data.mdb");
      await copyFile(new URL(`../fixtures/lmdb/${fixture}.mdb`, import.meta.url), cache);
      const written = (await stat(file)).mtimeMs / 1000 + ageSeconds;
      await utimes(cache, written, written);
      const [line] = await start(["kong"]);
      assert.equal(line, expected === "none" ? "config=none" : `config=${file}`);
    },
  );

  it.each([
    [`v02_${"0".repeat(27)}7`, "none"],
    [`v02_${"0".repeat(28)}`, "file"],
  ])(
    "decides by a hash of incremental sync, %s, wherever Kong has its cache",
    async (hash, expected) => {
      await writeFile(file, "{}");
      const bytes = await readFile(new URL("../fixtures/lmdb/small-3.9.mdb", import.meta.url));
      const key = "declarative_config:hash";
      const at = bytes.indexOf(key) + key.length;
      assert.match(bytes.toString("latin1", at, at + 32), /^[0-9a-f]{32}$/);
      bytes.write(hash, at, "latin1");
      const elsewhere = join(directory, "elsewhere");
      await mkdir(elsewhere);
      await writeFile(join(elsewhere, "data.mdb"), bytes);
      const written = (await stat(file)).mtimeMs / 1000 + 1;
      await utimes(join(elsewhere, "data.mdb"), written, written);
      for (const path of ["elsewhere", elsewhere]) {
        const [line] = await start(["kong"], { KONG_LMDB_ENVIRONMENT_PATH: path });
        assert.equal(line, expected === "none" ? "config=none" : `config=${file}`);
      }
    },
  );

  it("hands arguments on as they are", async () => {
    const arguments_ = ["kong", "a b", "$HOME", "*", ""];
    assert.deepEqual(
      (await start(arguments_)).slice(1),
      arguments_.map((argument) => `argument=${argument}`),
    );
  });

  it("starts Kong as its image does when given no arguments", async () => {
    assert.deepEqual((await start([])).slice(1), ["argument=kong", "argument=docker-start"]);
  });

  it("becomes the entrypoint, so that signals and the exit status are Kong's own", async () => {
    await writeFile(entrypoint, "#!/bin/sh\necho $$\nexit 42\n", { mode: 0o755 });
    const env = { KONG_FALLBACK_FILE: file, KONG_FALLBACK_ENTRYPOINT: entrypoint };
    const child = spawn(WRAPPER, ["kong"], { env, stdio: ["ignore", "pipe", "inherit"] });
    const exited = once(child, "exit");
    const [processId] = await once(child.stdout, "data");
    assert.equal(Number(String(processId)), child.pid);
    assert.deepEqual(await exited, [42, null]);
  });
});
