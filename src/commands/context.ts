/** What a command is given: the outside world, so that tests can hand in another one. */

import type { Writable } from "node:stream";
import type { Logger } from "pino";
import type { Clock } from "../core/clock.ts";
import { ServiceError, withHint } from "../core/errors.ts";
import { within } from "../core/waiting.ts";
import type { SettingName } from "../runtime/settings/table.ts";
import { type Settings, SettingsError } from "../runtime/settings.ts";

export interface CommandContext {
  readonly settings: Settings;
  readonly log: Logger;
  /** Results only: a config, a report. Everything else goes to `stderr`. */
  readonly stdout: Writable;
  readonly stderr: Writable & { readonly isTTY?: boolean };
  /** Print the result as JSON on standard output. */
  readonly json: boolean;
  /** Where SIGTERM and SIGINT arrive. */
  readonly signals: NodeJS.EventEmitter;
  readonly hostname: string;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

/** Runs to its end and gives the exit status; an error is for cli.ts to print. */
export type Command = (context: CommandContext) => Promise<number>;

/** For the files that settings name, and for those of the state directory: none is large. */
const FILES_TIMEOUT_MS = 10_000;

/** What `read` gives, which reads `what`. Rejects with SettingsError where a file system hangs, and with `signal.reason`. */
export function readInTime<T>(
  what: string,
  { clock }: Pick<CommandContext, "clock">,
  signal: AbortSignal,
  read: () => Promise<T>,
): Promise<T> {
  const late = () =>
    new SettingsError(
      [`${what}: could not be read within ${FILES_TIMEOUT_MS / 1000} s`],
      "See whether the disk or server that it lies on hangs.",
    );
  return within({ ms: FILES_TIMEOUT_MS, clock, late }, signal, read);
}

/** What it reads, for a message, and how. */
export type Reading<T> = readonly [what: string, read: () => Promise<T>];

/**
 * What all of `readings` give, each read as by readInTime, in their order. Where several fail for what
 * an operator has to mend, one SettingsError tells all of it, not one at each start; what others opened is
 * closed then.
 */
export async function readTogether<T extends Readonly<Record<string, Reading<unknown>>>>(
  context: Pick<CommandContext, "clock">,
  signal: AbortSignal,
  readings: T,
): Promise<{ readonly [Name in keyof T]: T[Name] extends Reading<infer Value> ? Value : never }> {
  const values: Record<string, unknown> = {};
  const errors: unknown[] = [];
  for (const [name, [what, read]] of Object.entries(readings)) {
    try {
      values[name] = await readInTime(what, context, signal, read);
    } catch (error) {
      errors.push(error);
      if (!isFault(error)) break;
    }
  }
  if (errors.length === 0) return values as Awaited<ReturnType<typeof readTogether<T>>>;
  for (const opened of Object.values(values)) await close(opened);
  throw errors.length > 1 && errors.every(isFault) ? together(errors) : errors.at(-1);
}

function isFault(error: unknown): error is ServiceError {
  return error instanceof ServiceError && error.exitStatus === 2;
}

function together(errors: readonly ServiceError[]): SettingsError {
  const faults = errors.flatMap((error) =>
    error instanceof SettingsError ? error.faults : [withHint(error)],
  );
  return new SettingsError(faults);
}

async function close(opened: unknown): Promise<void> {
  if (typeof opened !== "object" || opened === null || !(Symbol.asyncDispose in opened)) return;
  await (opened as AsyncDisposable)[Symbol.asyncDispose]();
}

type Present<T> = { readonly [Name in keyof T]: NonNullable<T[Name]> };

/** The same values, none missing. Throws SettingsError naming every one that is; an empty list counts as missing. `hint`: in place of the usual one. */
export function requireSettings<T extends { readonly [Name in SettingName]?: unknown }>(
  command: string,
  values: T,
  hint?: string,
): Present<T> {
  const missing = Object.entries(values)
    .filter(([, value]) => value === undefined || (Array.isArray(value) && value.length === 0))
    .map(([name]) => `${name}: is not set, and ${command} needs it`);
  if (missing.length > 0) throw new SettingsError(missing, hint);
  return values as Present<T>;
}
