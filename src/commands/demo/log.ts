/** The demo's log: kept in a file to look at, and watched for what the demo waits for. */

import { appendFileSync } from "node:fs";
import { Writable } from "node:stream";
import { BrokenPromise } from "./report.ts";

type Line = Readonly<Record<string, unknown>>;

/** Longest wait for anything the demo expects. */
const PATIENCE_MS = 10_000;

export class DemoLog extends Writable {
  readonly #path: string;
  readonly #watchers = new Set<(line: Line) => void>();

  constructor(path: string) {
    super({ decodeStrings: false });
    this.#path = path;
  }

  /** Resolves with the next line, from now on, that `matches`. Rejects with BrokenPromise if none comes. */
  next(what: string, matches: (line: Line) => boolean): Promise<Line> {
    return new Promise((resolve, reject) => {
      const finish = () => {
        clearTimeout(timer);
        this.#watchers.delete(watch);
      };
      const watch = (line: Line) => {
        if (!matches(line)) return;
        finish();
        resolve(line);
      };
      const timer = setTimeout(() => {
        finish();
        reject(new BrokenPromise(`${what} did not happen within ${PATIENCE_MS / 1000} s`));
      }, PATIENCE_MS);
      this.#watchers.add(watch);
    });
  }

  override _write(
    chunk: string | Buffer,
    _: BufferEncoding,
    done: (error?: Error | null) => void,
  ): void {
    const text = chunk.toString();
    for (const line of text.split("\n")) {
      if (!line.startsWith("{")) continue;
      const fields = JSON.parse(line) as Line;
      for (const watch of [...this.#watchers]) watch(fields);
    }
    try {
      appendFileSync(this.#path, text, { mode: 0o600 });
      done();
    } catch {
      // A full disk breaks a promise of the demo elsewhere, where it can be told.
      done();
    }
  }
}
