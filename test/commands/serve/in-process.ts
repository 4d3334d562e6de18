/** `serve` inside the test's own process, under a clock that the test moves. */

import { EventEmitter, once } from "node:events";
import { Writable } from "node:stream";
import { serveCommand } from "../../../src/commands/serve/serve.ts";
import { createLogger } from "../../../src/runtime/logger.ts";
import { readSettings } from "../../../src/runtime/settings.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";

type Line = Readonly<Record<string, unknown>>;

export class ServeInProcess implements AsyncDisposable {
  readonly clock = new ManualClock(new Date());
  readonly log: Line[] = [];
  /** Resolves to the exit status. */
  readonly ended: Promise<number>;
  readonly #signals = new EventEmitter();
  readonly #events = new EventEmitter();

  constructor(environment: Readonly<Record<string, string>>) {
    const stream = new Writable({
      write: (chunk, _, done) => {
        this.log.push(JSON.parse(String(chunk)) as Line);
        this.#events.emit("line");
        done();
      },
    });
    this.ended = serveCommand({
      settings: readSettings(environment),
      log: createLogger({ level: "info", stream }),
      stdout: stream,
      stderr: stream,
      json: false,
      signals: this.#signals,
      hostname: "gateway-1",
      clock: this.clock,
      random: () => 0,
    });
  }

  /** Resolves with the first line that says this; rejects if it ends before. */
  async logged(message: string): Promise<Line> {
    const found = () => this.log.find(({ msg }) => msg === message);
    while (found() === undefined) {
      const line = once(this.#events, "line");
      const ended = await Promise.race([line.then(() => false), this.ended.then(() => true)]);
      if (ended && found() === undefined) throw new Error(`it ended without saying ${message}`);
    }
    return found() ?? {};
  }

  /** Resolves once `condition` holds, with no time passing: only sleeps of no length end. */
  async standStill(condition: () => boolean): Promise<void> {
    while (!condition()) await this.clock.advance(0);
  }

  async stop(): Promise<number> {
    this.#signals.emit("SIGTERM");
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
