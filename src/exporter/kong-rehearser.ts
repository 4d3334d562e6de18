/** Rehearses in a DB-less Kong that takes no traffic: by its Admin API, and its Status API where that is known. */

import type { Clock } from "../core/clock.ts";
import { within } from "../core/waiting.ts";
import {
  type AdminClient,
  AdminError,
  type ConfigLoad,
  isEmptyHash,
  prepareConfigLoad,
} from "../kong/admin-client.ts";
import { isSameVersion, type KongVersion } from "../kong/version.ts";
import { RehearsalError, type RehearsalResult, type Rehearser } from "./rehearsal.ts";

export interface KongRehearserOptions {
  /** Not disposed of. */
  readonly admin: AdminClient;
  /** Of the Status API; undefined: the Admin API is asked, too, and may not know. Not disposed of. */
  readonly status: AdminClient | undefined;
  readonly kongVersion: KongVersion;
  /** For one rehearsal in all. Kong loads 10 MB in about 4 s. */
  readonly timeoutMs: number;
  readonly clock: Clock;
}

/** Between two looks at what Kong serves. */
const LOOK_MS = 500;
/** After 429 where Kong does not say how long. */
const BUSY_MS = 1_000;

/**
 * Looks first whom it speaks to: a Kong with a database, or of another version, is sent nothing. The
 * config goes as a string inside JSON, for then its hash is known before, and it has passed once
 * `/status` reports that hash and `/status/ready` says 200 in one look. What was there before does not
 * count. A config that is not valid UTF-8 goes as the body itself, and any hash confirms it.
 */
export class KongRehearser implements Rehearser {
  readonly #options: KongRehearserOptions;

  constructor(options: KongRehearserOptions) {
    this.#options = options;
  }

  async rehearse(config: Uint8Array, signal: AbortSignal): Promise<RehearsalResult> {
    const { clock, timeoutMs } = this.#options;
    const progress = { did: "answer" };
    const late = () => this.#timedOut(config.length, progress.did);
    try {
      return await within({ ms: timeoutMs, clock, late }, signal, async (limited) => {
        await this.#identify(limited);
        progress.did = "finish loading";
        return this.#load(prepareConfigLoad(config), progress, limited);
      });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof AdminError) throw explain(error);
      throw error;
    }
  }

  async #identify(signal: AbortSignal): Promise<void> {
    const { admin, kongVersion } = this.#options;
    const { version, database } = await admin.node(signal);
    if (database !== "off") {
      throw new RehearsalError(
        "REHEARSAL_MISCONFIGURED",
        `Kong at ${admin.url} is not DB-less, its database is ${database ?? "unknown"}: nothing was loaded into it`,
        {
          hint: "KONG_FALLBACK_REHEARSAL_URL must name a Kong of its own, with KONG_DATABASE=off and no traffic.",
        },
      );
    }
    if (version === undefined || !isSameVersion(kongVersion, version)) {
      throw new RehearsalError(
        "REHEARSAL_MISCONFIGURED",
        `Kong at ${admin.url} is of version ${version ?? "unknown"}, the config is for ${kongVersion}: nothing was loaded into it`,
        { hint: "Run a Kong of just this version behind KONG_FALLBACK_REHEARSAL_URL." },
      );
    }
  }

  async #load(
    load: ConfigLoad,
    progress: { did: string },
    signal: AbortSignal,
  ): Promise<RehearsalResult> {
    const { admin, clock } = this.#options;
    for (;;) {
      try {
        await admin.loadConfig(load.body, signal);
        break;
      } catch (error) {
        if (!(error instanceof AdminError)) throw error;
        if (error.reasons !== undefined) return { kind: "refused", reasons: error.reasons };
        // It still loads what was sent before, say by a rehearsal that was given up.
        if (error.code !== "ADMIN_BUSY") throw error;
        await clock.sleep(error.retryAfterMs ?? BUSY_MS, signal);
      }
    }
    progress.did = "show the config in its /status";
    while (!(await this.#shows(load, signal))) await clock.sleep(LOOK_MS, signal);
    progress.did = "become ready";
    while (!(await this.#serves(load, signal))) await clock.sleep(LOOK_MS, signal);
    return { kind: "passed" };
  }

  async #shows({ expectedHash }: ConfigLoad, signal: AbortSignal): Promise<boolean> {
    const hash = await this.#options.admin.configurationHash(signal);
    if (hash === undefined || isEmptyHash(hash)) return false;
    return expectedHash === undefined || hash === expectedHash;
  }

  async #serves(load: ConfigLoad, signal: AbortSignal): Promise<boolean> {
    const { admin, status } = this.#options;
    const readiness = await (status ?? admin).readiness(signal);
    return readiness !== "not-ready" && (await this.#shows(load, signal));
  }

  #timedOut(bytes: number, did: string): RehearsalError {
    const { admin, timeoutMs } = this.#options;
    return new RehearsalError(
      "REHEARSAL_UNAVAILABLE",
      `Kong at ${admin.url} did not ${did} within ${timeoutMs / 1000} s, with a config of ${bytes} bytes`,
      {
        hint: "Look into its error log, and whether somebody else loads configs into it. If it only needs longer, raise KONG_FALLBACK_REHEARSAL_TIMEOUT.",
      },
    );
  }
}

function explain(error: AdminError): RehearsalError {
  return new RehearsalError(
    error.retryable ? "REHEARSAL_UNAVAILABLE" : "REHEARSAL_MISCONFIGURED",
    `could not rehearse the config: ${error.message}`,
    { cause: error, ...(error.hint === undefined ? {} : { hint: error.hint }) },
  );
}
