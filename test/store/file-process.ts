/** Runs file-child.ts: Node 20 cannot run TypeScript, so it is compiled first. */

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Outcome, Step } from "./file-child.ts";

const run = promisify(execFile);
const CHILD = fileURLToPath(new URL("file-child.ts", import.meta.url));
const PROJECT = fileURLToPath(new URL("../..", import.meta.url));

/** A compiled child, and a directory of its own to work in. */
export class Workshop implements AsyncDisposable {
  readonly directory: string;
  readonly #script: string;

  constructor(directory: string, script: string) {
    this.directory = directory;
    this.#script = script;
  }

  static async open(): Promise<Workshop> {
    const directory = await mkdtemp(join(tmpdir(), "file-store-"));
    // For processes under another user.
    await chmod(directory, 0o755);
    const out = join(directory, "js");
    const typescript = createRequire(import.meta.url).resolve("typescript/package.json");
    const tsc = join(dirname(typescript), "bin/tsc");
    const flags = "--ignoreConfig --noCheck --module nodenext --target es2023 --types node";
    const more = [
      "--rewriteRelativeImportExtensions",
      "--rootDir",
      PROJECT,
      "--outDir",
      out,
      CHILD,
    ];
    await run(process.execPath, [tsc, ...flags.split(" "), ...more], { cwd: PROJECT });
    await writeFile(join(out, "package.json"), '{"type":"module"}');
    await symlink(join(PROJECT, "node_modules"), join(out, "node_modules"));
    return new Workshop(directory, join(out, "test/store/file-child.js"));
  }

  /** The command line of the child, for a shell that sets limits before it. */
  argv(mode: string, directory: string, argument = ""): readonly string[] {
    return [process.execPath, this.#script, mode, directory, argument];
  }

  start(mode: string, directory: string, argument = ""): ChildProcess {
    const [node = "", ...rest] = this.argv(mode, directory, argument);
    return spawn(node, rest, { stdio: ["ignore", "pipe", "inherit"] });
  }

  /** Takes the steps in a child that is not root, for root ignores permissions, and resolves with their outcomes. */
  stepsUnprivileged(directory: string, script: readonly Step[]): Promise<Outcome[]> {
    return outcomes(this.start("unprivileged-steps", directory, JSON.stringify(script)));
  }

  /** Takes the steps below `sh -c "<setup> && exec child"`, in which the setup sees the directory as `$1`. */
  stepsAfter(
    setup: string,
    directory: string,
    script: readonly Step[],
    shell: readonly string[] = [],
  ): Promise<Outcome[]> {
    const child = this.argv("steps", directory, JSON.stringify(script));
    const command = `dir=$1; shift; ${setup} && exec "$@"`;
    const [program = "sh", ...rest] = [...shell, "sh", "-c", command, "sh", directory, ...child];
    return outcomes(spawn(program, rest, { stdio: ["ignore", "pipe", "inherit"] }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** `unshare` with a user and mount namespace of its own: mounts that end with the process, for root and often for others. */
export const PRIVATE_MOUNTS: readonly string[] = [
  "unshare",
  "--user",
  "--map-root-user",
  "--mount",
];

/** Why private mounts cannot be made here; undefined where they can. */
export async function whyNoMounts(): Promise<string | undefined> {
  const [program = "", ...rest] = [...PRIVATE_MOUNTS, "mount", "-t", "tmpfs", "tmpfs", tmpdir()];
  return run(program, rest).then(
    () => undefined,
    () => "this machine lets this user make no mount namespace",
  );
}

async function outcomes(child: ChildProcess): Promise<Outcome[]> {
  let output = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    output += chunk.toString();
  });
  const [status, signal] = await once(child, "close");
  assert.equal(status, 0, `the child ended with ${status ?? signal}: ${output}`);
  return JSON.parse(output);
}
