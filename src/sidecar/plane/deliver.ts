/** Gets a config into a data plane: sends it, watches the hash in its pings, and sends it again where it did not take. */

import type { Clock } from "../../core/clock.ts";
import { isConfigHash } from "../../kong/config-parts.ts";
import type { ReportedHash } from "./reported-hash.ts";

/**
 * A data plane with an empty prefix loses a config that comes before its database is made, and says
 * nothing of it; seen on Kong 3.9.1, of which none applied a small config later than after 1 s.
 */
const PATIENCE_MS = 10_000;
/** Kong 3.9.1 applies 10,000 services and routes, 0.95 MB compressed, in about 7 s. */
const PATIENCE_PER_MEBIBYTE_MS = 10_000;
/** A config that did not take three times is refused, not lost. */
const MAX_SENDS = 3;

export interface DeliverOptions {
  /** Sends the frame for the `attempt`th time, from 1. Resolves when it has left this process. */
  readonly send: (attempt: number) => Promise<void>;
  /** Length of the frame, compressed, for how long applying it may take. */
  readonly frameBytes: number;
  /** Kong's hash of the config; undefined: any other than is reported now, and not that of an empty one, shows that it took. */
  readonly expectedHash: string | undefined;
  readonly hash: ReportedHash;
  readonly clock: Clock;
  /** Called when it was sent again, with how often that makes. */
  readonly onResend: (sends: number) => void;
}

/** Whether the data plane took it. Rejects with `signal.reason`, or as `send` does. */
export async function deliver(options: DeliverOptions, signal: AbortSignal): Promise<boolean> {
  const { send, frameBytes, expectedHash, hash, clock, onResend } = options;
  const before = hash.value;
  const took = (reported: string): boolean =>
    expectedHash === undefined
      ? isConfigHash(reported) && reported !== before
      : reported === expectedHash;
  const patienceMs = PATIENCE_MS + Math.floor(frameBytes / 2 ** 20) * PATIENCE_PER_MEBIBYTE_MS;
  for (let attempt = 1; ; attempt += 1) {
    await send(attempt);
    signal.throwIfAborted();
    if (attempt > 1) onResend(attempt);
    if (await within(patienceMs * 2 ** (attempt - 1))) return true;
    if (attempt === MAX_SENDS) return false;
  }

  async function within(ms: number): Promise<boolean> {
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    try {
      return await Promise.race([
        hash.until(took, either).then(() => true),
        clock.sleep(ms, either).then(() => false),
      ]);
    } finally {
      over.abort();
    }
  }
}
