/** Whether a session that is up was given what the control plane has: a control plane that withholds a config keeps the session, answers pings and says nothing. */

import type { Clock } from "../core/clock.ts";
import { untilQuiet } from "../core/waiting.ts";
import { namePeer } from "./handshake-diagnosis.ts";
import { SourceError, type SourceEvent } from "./port.ts";
import type { Session } from "./session.ts";

/** Nodes of one control plane learn of a change within `db_update_frequency`, by default 5 s, of each other. */
const PROPAGATION_MS = 15_000;

export interface SecondLookOptions {
  /** After so long without a config, and again and again, milliseconds. */
  readonly everyMs: number;
  /** What the control plane says when it is asked anew. Rejects with SourceError. */
  readonly ask: (signal: AbortSignal) => Promise<SourceEvent>;
  readonly clock: Clock;
}

/**
 * Checks the session as long as it lasts, and has it tell what was found. Where the control plane
 * gives others a config that it did not send here, also after its nodes had time to agree, the session
 * is ended with SOURCE_LOST: the next one is given it, in the control plane's own order.
 */
export async function keepChecking(
  session: Session,
  { everyMs, ask, clock }: SecondLookOptions,
  signal: AbortSignal,
): Promise<never> {
  const look = async (): Promise<SourceEvent> => {
    try {
      return await ask(signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof SourceError)) throw error;
      return { kind: "unconfirmed", error };
    }
  };
  let checkedAtMs = 0;
  for (;;) {
    await untilQuiet(everyMs, () => Math.max(checkedAtMs, session.sent.atMs), clock, signal);
    const { sent } = session;
    let found = await look();
    if (isAnother(found, session)) {
      await clock.sleep(PROPAGATION_MS, signal);
      found = await look();
      // What came meanwhile is told already.
      if (session.sent === sent && isAnother(found, session)) throw passedOver(session);
    }
    checkedAtMs = clock.monotonicMs();
    if (session.sent === sent) tellOf(found, session);
  }
}

function tellOf(found: SourceEvent, session: Session): void {
  if (found.kind !== "config") session.tell(found);
  else if (isSame(found, session)) session.tell({ kind: "confirmed" });
}

function isSame(found: SourceEvent, { sent }: Session): boolean {
  const hash = found.kind === "config" ? found.update.configHash : undefined;
  return hash !== undefined && hash === sent.configHash;
}

/** Not without a hash: the bytes of one config differ from frame to frame. */
function isAnother(found: SourceEvent, session: Session): boolean {
  return (
    found.kind === "config" && found.update.configHash !== undefined && !isSame(found, session)
  );
}

function passedOver({ peer }: Session): SourceError {
  return new SourceError(
    "SOURCE_LOST",
    `the session with ${namePeer(peer)} was ended here: a new session was sent another config than this one`,
    {
      hint: "The control plane's database was away, or its nodes do not agree; the next session gets what it has now.",
    },
  );
}
