/** Why a session ended, or brings no config, and what to do, in words. */

import { describeCause } from "../core/errors.ts";
import { nodeCodeOf } from "../core/node-code.ts";
import { SILENCE_LIMIT_MS } from "../kong/wire.ts";
import { namePeer, type Peer, quote } from "./handshake-diagnosis.ts";
import { type ConnectionEnding, SourceError } from "./port.ts";

/** A control plane that refuses does so within 20 ms of `basic_info`; one that goes away later means something else. */
const REFUSAL_WINDOW_MS = 2_000;

/** RFC 6455 7.4.1: no close code came; no close frame came. */
const NO_CODE = 1005;
const NO_CLOSE_FRAME = 1006;

export interface Ending extends ConnectionEnding {
  readonly maxPayloadBytes: number;
}

export function diagnoseEnd(ending: Ending, peer: Peer): SourceError {
  const { closeCode, closeReason, error: cause, afterMs, heard } = ending;
  if (nodeCodeOf(cause) === "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH") {
    return new SourceError(
      "SOURCE_FRAME_TOO_LARGE",
      `${namePeer(peer)} sent a message of more than ${ending.maxPayloadBytes} bytes`,
      {
        cause,
        hint: "Raise KONG_CLUSTER_MAX_PAYLOAD here, and on the data planes, to what the control plane has.",
      },
    );
  }
  if (closeCode === NO_CODE && !heard && afterMs <= REFUSAL_WINDOW_MS) {
    return new SourceError(
      "SOURCE_REFUSED",
      `${namePeer(peer)} closed the session right after it was told version ${ending.version}`,
      {
        hint: "It refuses a version with another major or a newer minor number than its own: set KONG_VERSION to the version of the data planes, no newer than the control plane's.",
      },
    );
  }
  return new SourceError("SOURCE_LOST", `the session with ${namePeer(peer)} ended: ${how()}`, {
    cause,
    hint: "The control plane restarted, reloaded or went away, or the network did; its log tells if it closed on purpose.",
  });

  function how(): string {
    if (cause !== undefined) return quote(describeCause(cause));
    if (closeCode === NO_CLOSE_FRAME) return "the connection broke off";
    const code = closeCode === NO_CODE ? "" : ` with code ${closeCode}`;
    return `it closed${code}${closeReason === "" ? "" : `: ${quote(closeReason)}`}`;
  }
}

export function silent(peer: Peer): SourceError {
  return new SourceError(
    "SOURCE_LOST",
    `the session with ${namePeer(peer)} ended: nothing came for ${SILENCE_LIMIT_MS / 1000} s`,
    { hint: "The control plane hangs, or something in between forgot the connection." },
  );
}

/** How the control plane judges this node: `sync_status` in its list of data planes, and why that could not be read. */
export interface SyncStatus {
  readonly value: string | undefined;
  readonly error: unknown;
  /** Plugins in use there that this node did not declare, as far as they are known. */
  readonly undeclared?: readonly string[];
}

/**
 * Connected and answered, but no config: none within `waitedMs`, or, where that is undefined, by the
 * control plane's own word. `status` is undefined where nobody can be asked.
 */
export function withheld(
  peer: Peer,
  waitedMs: number | undefined,
  status: SyncStatus | undefined,
): SourceError {
  const reported = status?.value === undefined ? "" : `; it reports ${quote(status.value)}`;
  const what =
    waitedMs === undefined
      ? "withholds its config from this service"
      : `answers, but sent no config within ${waitedMs / 1000} s`;
  return new SourceError("SOURCE_WITHHELD", `${namePeer(peer)} ${what}${reported}`, {
    hint: hintOf(status),
    // Nobody but an operator mends that.
    retryable: status?.value === undefined || !isIncompatible(status.value),
  });
}

/** Whether a control plane that says so sends this node nothing, whatever it has. */
export function isIncompatible(syncStatus: string): boolean {
  return syncStatus !== "normal" && syncStatus in WITHHELD;
}

function hintOf(status: SyncStatus | undefined): string {
  const [first, ...others] = (status?.undeclared ?? []).map(quote);
  if (first !== undefined) {
    return others.length === 0
      ? `The plugin ${first} is configured, and this service did not declare it: add it to KONG_PLUGINS.`
      : `The plugins ${[first, ...others].join(", ")} are configured, and this service did not declare them: add them to KONG_PLUGINS.`;
  }
  const known = status?.value === undefined ? undefined : WITHHELD[status.value];
  if (known !== undefined) return known;
  return status?.error === undefined
    ? EVERY_CAUSE
    : `${EVERY_CAUSE} Its Admin API could not be asked: ${quote(describeCause(status.error))}.`;
}

/** By `sync_status`. Kong/kong@3.9.1 kong/constants.lua:CLUSTERING_SYNC_STATUS */
const WITHHELD: Readonly<Record<string, string>> = {
  plugin_set_incompatible:
    "A plugin is configured that this service did not declare: add the names of your custom plugins to KONG_PLUGINS. The control plane's log names it: `is missing from data plane`.",
  plugin_version_incompatible:
    "Another node with this node id declared an older plugin; this service declares none. Give this service a node id of its own.",
  filter_set_incompatible:
    "The control plane has wasm=on and filters that this service does not declare; turn wasm off, or back up by another way.",
  kong_version_incompatible:
    "Set KONG_VERSION to the version of the data planes, no newer than the control plane's.",
  normal:
    "It counts this node as compatible, so it most likely cannot export: look at its log for `unable to export config from database`, and at its database.",
};

const EVERY_CAUSE =
  "Either a custom plugin is configured that is missing from KONG_PLUGINS; or wasm filters are in use; or the control plane cannot export, its database being down. Its log tells; with KONG_FALLBACK_ADMIN_URL this service would ask.";
