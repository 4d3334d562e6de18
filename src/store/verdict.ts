/** What a driver concludes from a failed attempt, and the error that it makes of that. */

import type { Clock } from "../core/clock.ts";
import type { ErrorDetails } from "../core/errors.ts";
import { CERTIFICATE_CODE, nodeCodeOf, SOCKET_CODE } from "../core/node-code.ts";
import { NO_TUNNEL } from "../network/outbound.ts";
import { type Precondition, StoreError, type StoreErrorCode } from "./port.ts";

/** What was tried. */
export interface StoreAttempt {
  readonly action: "read" | "write" | "list" | "delete";
  /** `scheme://bucket/prefix/key`, without credentials. */
  readonly target: string;
  /** Bucket or container. */
  readonly bucket: string;
  /** Where, and as far as it matters as whom, for messages. */
  readonly place: string;
  readonly when: Precondition | undefined;
  /** The one that requests are signed with. */
  readonly clock: Clock;
}

/** Why it failed, and what to do. */
export interface Verdict {
  readonly code: StoreErrorCode;
  readonly why: string;
  readonly hint?: string;
  readonly retryable?: boolean;
}

const BUSY_HINT = "Nothing to change here: look at the store's health if it lasts.";

export function unavailable(why: string, hint = BUSY_HINT): Verdict {
  return { code: "STORE_UNAVAILABLE", why, hint };
}

export function misconfigured(why: string, hint: string): Verdict {
  return { code: "STORE_MISCONFIGURED", why, hint };
}

/** 413: hardly the store itself, which takes objects of gigabytes. */
export function bodyRefused(): Verdict {
  return misconfigured(
    "a proxy in between, or the server, takes no body this long",
    "Raise its limit above the size of the config (nginx: client_max_body_size).",
  );
}

export function denied(why: string, hint: string): Verdict {
  return { code: "STORE_DENIED", why, hint };
}

/** There is no such object; to a conditional write, that it is gone. */
export function missing({ when }: StoreAttempt): Verdict {
  if (when !== undefined) {
    return { code: "STORE_PRECONDITION_FAILED", why: "the object to replace is gone" };
  }
  const why = "there is no such object";
  const hint =
    "Normal before the first export. Otherwise compare bucket or container, prefix and Kong version with the exporter's.";
  return { code: "STORE_NOT_FOUND", why, hint };
}

export function outrun({ when }: StoreAttempt): Verdict {
  const why =
    when !== undefined && "ifAbsent" in when
      ? "the object exists already"
      : "the object was written by somebody else since it was read";
  return { code: "STORE_PRECONDITION_FAILED", why };
}

export function fault(
  { action, target, place }: StoreAttempt,
  { code, why, ...advice }: Verdict,
  details: ErrorDetails = {},
): StoreError {
  return new StoreError(code, `could not ${action} ${target} at ${place}: ${why}`, {
    ...advice,
    ...details,
  });
}

/** A write that somebody else's came before, where the server has no name for that. */
export function lostRace(attempt: StoreAttempt): StoreError {
  return fault(attempt, outrun(attempt));
}

/** A body that did not arrive as it was sent. */
export function damaged(attempt: StoreAttempt, why: string): StoreError {
  const hint = "It is tried again later. If it lasts, look at the network or a proxy in between.";
  return fault(attempt, unavailable(why, hint));
}

/** How a driver speaks of its service where no answer came. */
export interface Service {
  /** After "no", e.g. `S3 server`. */
  readonly name: string;
  readonly endpointHint: string;
  /** What to set where a CA of one's own signed the certificate. */
  readonly caVariable: string;
}

/** Whether the connection broke: Node's codes for a reset and for writing after one, undici's for its end. */
export function isReset(error: unknown): boolean {
  return /^(?:ECONNRESET|EPIPE|UND_ERR_SOCKET)$/.test(nodeCodeOf(error));
}

/** No answer came, or not a whole one. Codes are Node's and undici's. */
export function verdictOnFailure(error: unknown, service: Service): Verdict {
  const { name, endpointHint } = service;
  const code = nodeCodeOf(error);
  if (code === NO_TUNNEL) {
    return unavailable(
      "the forward proxy makes no tunnel",
      "Look at the proxy that HTTPS_PROXY or HTTP_PROXY names: it must take user and password of that URL, and allow CONNECT to this address. NO_PROXY names what is reached without it.",
    );
  }
  if (code === "EPROTO" || code.startsWith("ERR_SSL_") || code.startsWith("HPE_")) {
    return misconfigured(`no ${name} answers there`, endpointHint);
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return misconfigured("the server's certificate is for another host", endpointHint);
  }
  if (CERTIFICATE_CODE.test(code)) {
    return misconfigured("the server's certificate is not trusted", caHint(service));
  }
  if (isReset(error)) return unavailable("the connection broke");
  if (isTimeout(error)) return unavailable("the server does not answer in time");
  if (SOCKET_CODE.test(code) || code.startsWith("UND_ERR_")) {
    return unavailable(
      "the server cannot be reached",
      `${endpointHint} Then look at DNS, egress rules and the server itself.`,
    );
  }
  return unavailable("the request failed unexpectedly", "If it lasts, please report this.");
}

export function caHint({ caVariable }: Service): string {
  return `If a CA of your own signed it, name that CA's PEM file in ${caVariable}; if it has expired, renew it on the server.`;
}

/** Of the AWS SDK, which calls some resets so, too. */
export function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === "TimeoutError";
}
