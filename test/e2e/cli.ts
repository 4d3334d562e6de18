/** Runs the built program as a user does: `node dist/cli.js`. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { builtCli } from "../build.ts";

export const CLI = builtCli();

type Line = Readonly<Record<string, unknown>>;

export class Run implements AsyncDisposable {
  readonly child: ChildProcess;
  /** What came on standard output. */
  stdout = Buffer.alloc(0);
  /** What came on standard error, whole lines only. */
  readonly stderr: string[] = [];
  readonly #events = new EventEmitter();
  readonly #ended: Promise<unknown>;

  /** `cwd`: by default that of the tests. */
  constructor(
    argv: readonly string[],
    environment: Readonly<Record<string, string>>,
    cwd?: string,
  ) {
    const { PATH = "" } = process.env;
    this.child = spawn(process.execPath, [CLI, ...argv], { env: { PATH, ...environment }, cwd });
    let rest = "";
    this.child.stdout?.on("data", (chunk: Buffer) => {
      this.stdout = Buffer.concat([this.stdout, chunk]);
    });
    this.child.stderr?.on("data", (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split("\n");
      rest = lines.pop() ?? "";
      this.stderr.push(...lines);
      this.#events.emit("lines");
    });
    this.#ended = once(this.child, "close");
  }

  /** Log lines so far; what is no JSON, like a final error, is left out. */
  get log(): readonly Line[] {
    return this.stderr.flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as Line] : []));
  }

  /** Resolves with the first log line, or with the one of this number (from 1), for which `matches` holds. */
  async logged(matches: string | ((line: Line) => boolean), number = 1): Promise<Line> {
    const isMatch = typeof matches === "string" ? (line: Line) => line["msg"] === matches : matches;
    for (;;) {
      const found = this.log.filter(isMatch)[number - 1];
      if (found !== undefined) return found;
      const ended = await Promise.race([
        once(this.#events, "lines").then(() => false),
        this.#ended.then(() => true),
      ]);
      if (ended && this.log.filter(isMatch).length < number) {
        assert.fail(`it ended without saying ${String(matches)}:\n${this.stderr.join("\n")}`);
      }
    }
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  /** Resolves with the exit status, or the name of the signal that ended it. */
  async ended(): Promise<number | string | null> {
    await this.#ended;
    return this.child.exitCode ?? this.child.signalCode;
  }

  /** Leaves no process behind, whatever became of the test. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.#ended;
  }
}

/** One shot: its exit status and what it wrote. */
export async function runOnce(
  argv: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<{
  status: number | string | null;
  stdout: Buffer;
  stderr: string;
  log: readonly Line[];
}> {
  const run = new Run(argv, environment);
  const status = await run.ended();
  return { status, stdout: run.stdout, stderr: run.stderr.join("\n"), log: run.log };
}
