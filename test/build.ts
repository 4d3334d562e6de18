/** Keeps tests from running an old build: one that is missing or older than the sources is made anew before they begin, and never run. */

import { execFileSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const CLI = join(ROOT, "dist", "cli.js");
/** What the build is made of. */
const SOURCES = [
  "src",
  "assets",
  "package.json",
  "package-lock.json",
  "rolldown.config.ts",
  "tsconfig.json",
];
/** Where tests run the program. */
const RUNS_THE_PROGRAM = /test\/(?:e2e|iam|leaks|bench|package)/;

/** Of vitest, before any test. A run that is asked for other tests only need not wait for a build. */
export function setup(): void {
  const asked = process.argv.slice(2).filter((argument) => argument.includes("test/"));
  if (asked.length > 0 && !asked.some((path) => RUNS_THE_PROGRAM.test(path))) return;
  if (whyOld() === undefined) return;
  execFileSync("npm", ["run", "--silent", "build"], { cwd: ROOT, stdio: "inherit" });
}

/** The built program. Throws where it is not built from the sources as they are now. */
export function builtCli(): string {
  const why = whyOld();
  if (why !== undefined) throw new Error(`${why}: run \`npm run build\` first`);
  return CLI;
}

function whyOld(): string | undefined {
  const built = statSync(CLI, { throwIfNoEntry: false });
  if (built === undefined) return "dist/cli.js is missing";
  // A directory is newer than the build if a file was added, renamed or removed.
  const newer = SOURCES.flatMap(withAllBelow).find(
    (path) => statSync(join(ROOT, path)).mtimeMs > built.mtimeMs,
  );
  return newer === undefined ? undefined : `dist/cli.js is older than ${newer}`;
}

function withAllBelow(path: string): string[] {
  if (!statSync(join(ROOT, path)).isDirectory()) return [path];
  const below = readdirSync(join(ROOT, path), { recursive: true, encoding: "utf8" });
  return [path, ...below.map((name) => join(path, name))];
}
