/** A log for a job that looks again and again: a line is written only when it says something new. */

import type { Log } from "./log.ts";

export class NewsLog {
  readonly #log: Log;
  #last = "";

  constructor(log: Log) {
    this.#log = log;
  }

  /** Writes nothing where message and `about`, what of the fields makes it news, are those of the call before. */
  say(level: "info" | "warn" | "error", fields: object, message: string, about = ""): void {
    const news = `${message} ${about}`;
    if (news === this.#last) return;
    this.#last = news;
    this.#log[level](fields, message);
  }
}
