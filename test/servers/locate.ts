/** Finds the real servers that `.ci/servers` installed, or says why one is not there. */
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

/** The part of `process.env` that says where the binaries are. */
export interface LocateEnvironment {
  readonly PATH?: string | undefined;
  readonly TEST_SERVERS?: string | undefined;
  readonly TEST_SERVERS_REQUIRED?: string | undefined;
}

/**
 * Path of a server's binary: in `TEST_SERVERS`, else in the cache that `.ci/servers`
 * fills, else on PATH (and the sbin folders). Undefined when absent, so that the test can skip;
 * throws instead when `TEST_SERVERS_REQUIRED` is 1, unless `.ci/servers` noted that
 * its source is not to be had (`whyUnavailable`).
 */
export function locate(name: string, env: LocateEnvironment = process.env): string | undefined {
  const path = (env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  const folders = [installed(env), ...path, "/usr/sbin", "/usr/local/sbin"];
  const found = folders.map((folder) => join(folder, name)).find(isExecutable);
  const required = env.TEST_SERVERS_REQUIRED === "1";
  if (found === undefined && required && whyUnavailable(name, env) === undefined) {
    throw new Error(`${name} is not installed in ${installed(env)} nor on PATH; run .ci/servers`);
  }
  return found;
}

/** The line that `.ci/servers` left when a server's publisher or registry refused its source. */
export function whyUnavailable(
  name: string,
  env: LocateEnvironment = process.env,
): string | undefined {
  const note = join(installed(env), `${name}.unavailable`);
  return existsSync(note) ? readFileSync(note, "utf8").trim() : undefined;
}

/** Why the tests of a server that needs these commands cannot run; undefined where they can. Throws as `locate` does. */
export function whyMissing(...commands: readonly string[]): string | undefined {
  const missing = commands.filter((command) => locate(command) === undefined);
  if (missing.length === 0) return undefined;
  return missing
    .map((command) => whyUnavailable(command) ?? `${command} is not installed; run .ci/servers`)
    .join("; ");
}

/** The title of a test or suite that is skipped where there is a reason to: `npm test` sums the reasons up at its end (summary.ts). */
export function titled(title: string, why: string | undefined): string {
  return why === undefined ? title : `${title} (skipped: ${why})`;
}

/** Like `locate`, for what cannot go on without: absence is always an error. */
export function commandOf(name: string): string {
  const found = locate(name);
  if (found === undefined) {
    throw new Error(`${name}: ${whyUnavailable(name) ?? "not installed; run .ci/servers"}`);
  }
  return found;
}

/** What `.ci/servers` noted beside the binary when it built it. */
export async function builtVersion(command: string): Promise<string> {
  const note = `${command}.version`;
  return existsSync(note) ? (await readFile(note, "utf8")).trim() : "unknown version";
}

function installed(env: LocateEnvironment): string {
  return env.TEST_SERVERS ?? join(homedir(), ".cache/kong-fallback-test-servers");
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    // Absent or not ours to run: either way the next folder is tried.
    return false;
  }
}
