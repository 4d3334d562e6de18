/** Reads single variables into types and collects what is wrong with them, so that all faults can be told at once. */

import env from "env-var";
import { ServiceError } from "../../core/errors.ts";
import { Secret } from "../../core/secret.ts";
import { SETTINGS, type SettingDescription, type SettingName } from "./table.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

type Variable = ReturnType<ReturnType<typeof env.from>["get"]>;

/** `SETTINGS_INVALID`: settings are missing or cannot be used; the message has one line for each fault. Values are never repeated, they may be secrets. */
export class SettingsError extends ServiceError {
  readonly code = "SETTINGS_INVALID";
  readonly exitStatus = 2;
  readonly faults: readonly string[];

  constructor(
    faults: readonly string[],
    hint = "The table of settings in README.md has all of them.",
  ) {
    const [only = ""] = faults;
    const message =
      faults.length === 1
        ? only
        : `${faults.length} settings cannot be used:\n${faults.map((fault) => `  - ${fault}`).join("\n")}`;
    super(message, { retryable: false, hint });
    this.faults = faults;
  }
}

export class SettingsReader {
  readonly faults: string[] = [];
  readonly #source: Record<string, string>;

  /** A variable that is set to nothing, as compose files do, counts as not set. */
  constructor(source: Environment) {
    this.#source = Object.fromEntries(
      Object.entries(source).filter((entry): entry is [string, string] => (entry[1] ?? "") !== ""),
    );
  }

  text(name: SettingName): string | undefined {
    return this.#read(name, (variable) => variable.asString());
  }

  secret(name: SettingName): Secret | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : new Secret(text);
  }

  onOff(name: SettingName): boolean {
    return this.#read(name, (variable) => variable.asEnum(["on", "off"])) === "on";
  }

  /** Undefined only where the value is not one of `values`, which is a fault already noted. */
  oneOf<const T extends string>(name: SettingName, values: readonly T[]): T | undefined {
    return this.#read(name, (variable) => variable.asEnum([...values]));
  }

  /** A whole number from `min` to `max`; 0 stands in for one already noted as a fault. */
  integer(name: SettingName, min: number, max: number): number {
    const value = this.#read(name, (variable) => variable.asInt());
    if (value === undefined) return 0;
    if (value < min || value > max) {
      this.fault(name, `must be a whole number from ${min} to ${max}`);
    }
    return value;
  }

  /** Seconds, fractions allowed, as milliseconds. */
  seconds(name: SettingName, min: number, max: number): number {
    const value = this.#read(name, (variable) => variable.asFloat());
    if (value === undefined) return 0;
    if (!(value >= min && value <= max)) {
      this.fault(name, `must be a number of seconds from ${min} to ${max}`);
    }
    return Math.round(value * 1000);
  }

  /**
   * What `parse` makes of the text; undefined if not set or at fault. `parse` returns undefined for a
   * text that is not `expected`, or throws a ServiceError that says more.
   */
  parsed<T>(
    name: SettingName,
    expected: string,
    parse: (text: string) => T | undefined,
  ): T | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    try {
      const value = parse(text);
      if (value === undefined) this.fault(name, `must be ${expected}`);
      return value;
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      this.fault(
        name,
        error.hint === undefined ? error.message : `${error.message}. ${error.hint}`,
      );
      return undefined;
    }
  }

  fault(name: SettingName, what: string): void {
    this.faults.push(`${name}: ${what}`);
  }

  #read<T>(name: SettingName, take: (variable: Variable) => T): T | undefined {
    const description: SettingDescription = SETTINGS[name];
    const variable = env.from(this.#source).get(name).example(description.example);
    try {
      return take(
        description.default === undefined ? variable : variable.default(description.default),
      );
    } catch (error) {
      if (!(error instanceof env.EnvVarError)) throw error;
      this.fault(name, error.message.replace(/^env-var: "[^"]*" /, ""));
      return undefined;
    }
  }
}
