/** A failed attempt at Azure as a StoreError: what was tried, on what, why it failed, what to do. */

import { CERTIFICATE_CODE, nodeCodeOf } from "../../core/node-code.ts";
import { StoreError } from "../port.ts";
import { denied, fault, misconfigured, unavailable, type Verdict } from "../verdict.ts";
import { describeAnswer, readAnswer } from "./answer.ts";
import { TokenFailure } from "./token-failure.ts";
import type { AzureAttempt } from "./verdicts.ts";
import { ENDPOINT_HINT, judgeAnswer } from "./verdicts.ts";

/** The peer answers, but not as Azure does. */
export function notAzure(attempt: AzureAttempt, what: string): StoreError {
  const why = `no Azure Blob Storage answers there (${what})`;
  return fault(attempt, misconfigured(why, ENDPOINT_HINT));
}

/**
 * The error of an attempt that the SDK gave up; a StoreError is given back as it is. Neither message
 * nor cause holds what the SDK keeps on its exceptions: signatures, tokens, SAS URLs, bodies.
 */
export function azureError(error: unknown, attempt: AzureAttempt): StoreError {
  if (error instanceof StoreError) return error;
  const answer = readAnswer(error);
  const said = answer === undefined ? describeFailure(error) : describeAnswer(answer);
  const verdict = answer === undefined ? judgeFailure(error) : judgeAnswer(answer, attempt);
  return fault(
    attempt,
    { ...verdict, why: `${verdict.why} (${said})` },
    { cause: new Error(said) },
  );
}

/** Whether the connection broke: Node's codes for a reset and for writing after one, the SDK's word for one within an answer. */
export function isCutOff(error: unknown): boolean {
  return /^(?:ECONNRESET|EPIPE)$/.test(nodeCodeOf(error)) || isBrokenOff(error);
}

const CA_HINT =
  "If a CA of your own signed it, name that CA's PEM file in NODE_EXTRA_CA_CERTS; if it has expired, renew it on the server.";

/** No answer came, or not a whole one. */
function judgeFailure(error: unknown): Verdict {
  if (error instanceof TokenFailure) return judgeTokenFailure(error);
  const code = nodeCodeOf(error);
  if (CERTIFICATE_CODE.test(code)) {
    return misconfigured("the server's certificate is not trusted, or for another host", CA_HINT);
  }
  if (code === "EPROTO" || code.startsWith("ERR_SSL_") || code.startsWith("HPE_")) {
    return misconfigured("no Azure Blob Storage answers there", ENDPOINT_HINT);
  }
  if (isCutOff(error)) return unavailable("the connection broke");
  // The SDK's word for a download without ETag or length, and for an answer that is no XML.
  if (error instanceof RangeError || code === "PARSE_ERROR") {
    return misconfigured("no Azure Blob Storage answers there", ENDPOINT_HINT);
  }
  if (/^E[A-Z_]+$/.test(code)) {
    return unavailable(
      "the server cannot be reached",
      `${ENDPOINT_HINT} Then look at DNS and egress rules.`,
    );
  }
  return unavailable("the request failed unexpectedly", "If it lasts, please report this.");
}

function judgeTokenFailure({ identity, seen }: TokenFailure): Verdict {
  const { aadsts, status, nodeCode = "" } = seen;
  const why = `no access token for the ${identity}`;
  if (CERTIFICATE_CODE.test(nodeCode)) return misconfigured(why, CA_HINT);
  if (aadsts !== undefined)
    return denied(why, AADSTS_HINTS[aadsts] ?? SETTINGS_HINTS[identity] ?? "");
  const isFile = nodeCode === "ENOENT" || nodeCode === "EACCES";
  const isDown = status === 429 || (status ?? 0) >= 500 || (/^E[A-Z_]+$/.test(nodeCode) && !isFile);
  if (identity === "managed identity") {
    // Where there is none nobody answers; where there is one it may come some seconds late.
    return { ...denied(why, SETTINGS_HINTS[identity] ?? ""), retryable: true };
  }
  if (isDown)
    return unavailable(
      why,
      "Look at DNS and egress to AZURE_AUTHORITY_HOST (login.microsoftonline.com).",
    );
  return { ...denied(why, SETTINGS_HINTS[identity] ?? ""), retryable: isFile };
}

const SETTINGS_HINTS: Readonly<Record<string, string>> = {
  "client secret": "Check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET.",
  "workload identity":
    "Check AZURE_TENANT_ID, AZURE_CLIENT_ID, the file AZURE_FEDERATED_TOKEN_FILE, and the federated credential of the identity: issuer, subject system:serviceaccount:namespace:name, audience api://AzureADTokenExchange.",
  "managed identity":
    "Without AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, AZURE_CLIENT_SECRET and AZURE_FEDERATED_TOKEN_FILE the managed identity of this machine is asked: set one of them, or assign an identity (for a user-assigned one set AZURE_CLIENT_ID).",
};

/** https://learn.microsoft.com/entra/identity-platform/reference-error-codes */
const AADSTS_HINTS: Readonly<Record<string, string>> = {
  AADSTS7000215: "The secret is wrong: AZURE_CLIENT_SECRET is the value of a secret, not its id.",
  AADSTS7000222: "The secret has expired: make a new one and set AZURE_CLIENT_SECRET.",
  AADSTS700016: "There is no such application in this tenant: AZURE_CLIENT_ID, AZURE_TENANT_ID.",
  AADSTS90002: "There is no such tenant: AZURE_TENANT_ID.",
  AADSTS700024:
    "The token in AZURE_FEDERATED_TOKEN_FILE has expired, or this machine's clock is wrong.",
};

/** Within an answer, of a connection that broke: the SDK's stream, and its word for fewer bytes than announced. */
function isBrokenOff(error: unknown): boolean {
  return (
    error instanceof Error &&
    (error.name === "AbortError" ||
      /^Data corruption failure|^Error reading response as text/.test(error.message))
  );
}

function describeFailure(error: unknown): string {
  if (error instanceof TokenFailure) return error.message;
  const code = nodeCodeOf(error);
  if (code !== "") return code;
  return error instanceof Error ? error.name : typeof error;
}
