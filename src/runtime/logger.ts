/** The one logger: pino, JSON lines on standard error, or short lines for a person on a terminal. */

import type { Writable } from "node:stream";
import { type DestinationStream, type Logger, pino } from "pino";
import { describeCause, ServiceError } from "../core/errors.ts";
import { type KongLogLevel, SETTINGS, type Setting } from "./settings/table.ts";

/** What pino calls them. */
const PINO_LEVELS = {
  debug: "debug",
  info: "info",
  notice: "info",
  warn: "warn",
  error: "error",
  crit: "fatal",
  alert: "fatal",
  emerg: "fatal",
} as const satisfies Record<KongLogLevel, string>;

const SECRET_SETTINGS = Object.entries<Setting>(SETTINGS)
  .filter(([, { secret }]) => secret === true)
  .map(([name]) => name);

/** Nothing is logged that needs these; they catch a future mistake. `key` is left out: it is an object's name in the store. */
const REDACTED = [
  ...["authorization", "credentials", "password", "secret", "token"],
  ...SECRET_SETTINGS,
].flatMap((name) => [name, `*.${name}`]);

/** What a terminal obeys, and pino leaves as it is: JSON needs no escape for it. */
const OBEYED = /[\u007f-\u009f]|\p{Cf}|[\u2028\u2029]/gu;

/** The same, and what JSON escapes; the line feeds of a stack stay. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must go.
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]|\p{Cf}|[\u2028\u2029]/gu;

export interface LoggerOptions {
  readonly level: KongLogLevel;
  readonly stream: Writable & { readonly isTTY?: boolean };
}

export function createLogger({ level, stream }: LoggerOptions): Logger {
  const destination: DestinationStream = stream.isTTY
    ? { write: (line) => void stream.write(readable(line)) }
    : { write: (line) => void stream.write(line.replace(OBEYED, escaped)) };
  return pino(
    {
      level: PINO_LEVELS[level],
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: serializeError },
      redact: REDACTED,
    },
    destination,
  );
}

/** No stack for what an operator can mend; the stack for a bug. */
function serializeError(error: unknown): object {
  if (error instanceof ServiceError) {
    return {
      code: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(error.cause === undefined ? {} : { cause: describeCause(error.cause) }),
    };
  }
  return { message: describeCause(error), stack: error instanceof Error ? error.stack : undefined };
}

function escaped(sign: string): string {
  return sign.replace(
    /[\s\S]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** `12:00:01 info  snapshot saved  bytes=7 ...`; an error's hint stands on a line of its own. */
function readable(line: string): string {
  const { level, time, msg, component, err, ...fields } = JSON.parse(line) as Record<
    string,
    unknown
  >;
  const pairs = Object.entries({ ...fields, ...errorFields(err) }).map(
    ([name, value]) =>
      `${name}=${(typeof value === "string" ? value : JSON.stringify(value)).replace(CONTROL, "\ufffd")}`,
  );
  const scope = component === undefined ? "" : `${String(component)}: `;
  const hint = hintOf(err);
  return [
    `${String(time).slice(11, 19)} ${String(level).padEnd(5)} ${scope}${String(msg)}`,
    ...pairs,
  ]
    .join("  ")
    .concat(hint === undefined ? "\n" : `\n               ${hint}\n`);
}

function errorFields(err: unknown): object {
  if (typeof err !== "object" || err === null) return {};
  const { code, message, cause, stack } = err as Record<string, unknown>;
  return {
    ...(code ? { code } : {}),
    why: message,
    ...(cause ? { cause } : {}),
    ...(stack ? { stack } : {}),
  };
}

function hintOf(err: unknown): string | undefined {
  const hint = typeof err === "object" && err !== null && "hint" in err ? err.hint : undefined;
  return typeof hint === "string" ? hint : undefined;
}
