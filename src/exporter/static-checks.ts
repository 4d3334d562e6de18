/** Tells what is wrong with a config that can be seen without a Kong, and holds it back where that is wanted. */

import type { Log } from "../core/log.ts";
import { JsonSyntaxError } from "../kong/json-members.ts";
import type { KongVersion } from "../kong/version.ts";
import type { Candidate, Gate, GateAnswer } from "./gates.ts";
import type { GateMetrics } from "./metrics.ts";
import type { ReceivedConfig } from "./received-config.ts";

/** One thing that is wrong. `message` names entity and field, no value. */
export interface Finding {
  readonly kind: string;
  readonly message: string;
}

export interface StaticChecksOptions {
  /** Rejects with JsonSyntaxError where the config is not JSON. */
  readonly check: (config: Uint8Array, kongVersion: KongVersion) => Promise<readonly Finding[]>;
  readonly mode: "warn" | "refuse";
  readonly kongVersion: KongVersion;
  /** Longer ones are not checked: one entity of such a length would become a tree of many times that in memory. Default 256 MiB. */
  readonly maxBytes?: number;
  readonly log: Log;
  readonly metrics: Pick<GateMetrics, "checked">;
}

/** How many the log tells of one config. */
const MAX_LOGGED_FINDINGS = 10;
const MAX_CHECKED_BYTES = 256 * 1024 * 1024;

/** Of one Kong version, for the writers of all stores: a config is checked once, and again only after another one. */
export class StaticChecks implements Gate {
  readonly name = "checks";
  readonly #options: StaticChecksOptions;
  #last: { readonly id: string; readonly findings: Promise<readonly Finding[]> } | undefined;
  /** The findings last told. */
  #told = "";

  constructor(options: StaticChecksOptions) {
    this.#options = options;
  }

  async examine({ config }: Candidate): Promise<GateAnswer> {
    const { mode } = this.#options;
    if (this.#last?.id !== config.id) {
      this.#last = { id: config.id, findings: this.#checkAndTell(config) };
    }
    const findings = await this.#last.findings;
    return mode === "refuse" && findings.length > 0
      ? { kind: "held", reasons: messagesOf(findings) }
      : { kind: "pass" };
  }

  async #checkAndTell({ update }: ReceivedConfig): Promise<readonly Finding[]> {
    const findings = await this.#check(update.configTable);
    this.#tell(findings, update.configHash);
    return findings;
  }

  async #check(config: Uint8Array): Promise<readonly Finding[]> {
    const { check, kongVersion, log, maxBytes = MAX_CHECKED_BYTES } = this.#options;
    if (config.length > maxBytes) {
      log.info({ bytes: config.length }, "config is too long for static checks, it is not checked");
      return [];
    }
    try {
      return await check(config, kongVersion);
    } catch (error) {
      if (!(error instanceof JsonSyntaxError)) throw error;
      return [{ kind: "no-json", message: "the config is not JSON" }];
    }
  }

  #tell(findings: readonly Finding[], configHash: string | undefined): void {
    const { log, metrics } = this.#options;
    metrics.checked(findings.length);
    const text = findings.map(({ kind, message }) => `${kind} ${message}`).join("\n");
    const isNews = text !== this.#told;
    this.#told = text;
    if (findings.length === 0) return;
    const fields = { configHash, findings: findings.length, first: messagesOf(findings) };
    if (isNews) log.warn(fields, "static checks find the config faulty, Kong may not load it");
    else log.debug(fields, "static checks find the same as before");
  }
}

function messagesOf(findings: readonly Finding[]): readonly string[] {
  return findings.slice(0, MAX_LOGGED_FINDINGS).map(({ message }) => message);
}
