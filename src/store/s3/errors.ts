/** A failed S3 attempt as a StoreError: what was tried, on what, why it failed, what to do. */

import { describeCause } from "../../core/errors.ts";
import { CERTIFICATE_CODE, nodeCodeOf, SOCKET_CODE } from "../../core/node-code.ts";
import { StoreError } from "../port.ts";
import { fault, misconfigured, unavailable, type Verdict } from "../verdict.ts";
import { describeAnswer, readAnswer } from "./answer.ts";
import type { S3Attempt } from "./verdicts.ts";
import { ENDPOINT_HINT, judgeAnswer } from "./verdicts.ts";

/** The peer answers, but not as S3 does. */
export function notS3(attempt: S3Attempt, what: string): StoreError {
  return fault(attempt, misconfigured(`no S3 server answers there (${what})`, ENDPOINT_HINT));
}

/**
 * The error of an attempt that the SDK gave up; a StoreError is given back as it is. Neither
 * message nor cause holds what the SDK keeps on its exceptions: signatures, tokens, bodies.
 */
export function s3Error(error: unknown, attempt: S3Attempt): StoreError {
  if (error instanceof StoreError) return error;
  const answer = readAnswer(error);
  const verdict = answer === undefined ? judgeFailure(error) : judgeAnswer(answer, attempt);
  const said = answer === undefined ? describeFailure(error) : describeAnswer(answer);
  return fault(
    attempt,
    { ...verdict, why: `${verdict.why} (${said})` },
    { cause: answer === undefined && isSystemError(error) ? error : new Error(said) },
  );
}

/** Whether the connection broke: Node's codes for a reset, and for writing after one. */
export function isCutOff(error: unknown): boolean {
  const code = nodeCodeOf(error);
  return code === "ECONNRESET" || code === "EPIPE";
}

/** The peer's certificate, or that it has one, is the matter. */
export function isTlsCode(code: string): boolean {
  return CERTIFICATE_CODE.test(code) || /^(?:ERR_SSL_|EPROTO$)/.test(code);
}

/** What the SDK puts around its sentence about a timeout. */
const SDK_NOISE = /^@smithy\/node-http-handler - | \(configured by client requestHandler\)\.|\.$/g;

/** No answer came, or not a whole one. */
function judgeFailure(error: unknown): Verdict {
  const code = nodeCodeOf(error);
  if (code === "EPROTO" || code.startsWith("ERR_SSL_") || code.startsWith("HPE_")) {
    return misconfigured("no S3 server answers there", ENDPOINT_HINT);
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return misconfigured("the server's certificate is for another host", ENDPOINT_HINT);
  }
  if (isTlsCode(code)) {
    return misconfigured(
      "the server's certificate is not trusted",
      "If a CA of your own signed it, name that CA's PEM file in AWS_CA_BUNDLE; if it has expired, renew it on the server.",
    );
  }
  // First of the two: the SDK calls these a TimeoutError too.
  if (isCutOff(error)) return unavailable("the connection broke");
  if (isTimeout(error)) return unavailable("the server does not answer in time");
  if (SOCKET_CODE.test(code)) {
    return unavailable(
      "the server cannot be reached",
      `${ENDPOINT_HINT} Then look at DNS, network policy and the server itself.`,
    );
  }
  return unavailable("the request failed unexpectedly", "If it lasts, please report this.");
}

export function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === "TimeoutError";
}

/** From the socket, the resolver, a file or TLS: such an error holds names and numbers, and nothing secret. */
function isSystemError(error: unknown): boolean {
  const code = nodeCodeOf(error);
  return isTimeout(error) || SOCKET_CODE.test(code) || isTlsCode(code);
}

/** A credentials provider's message may quote the command that a profile runs, or what it printed. */
export function describeFailure(error: unknown): string {
  if (isSystemError(error)) return describeCause(error).replace(SDK_NOISE, "");
  const name = error instanceof Error ? error.name : typeof error;
  const line = describeCause(error).split("\n", 1)[0] ?? "";
  return /Command failed|JSON/i.test(line) ? `${name}: its command failed` : `${name}: ${line}`;
}
