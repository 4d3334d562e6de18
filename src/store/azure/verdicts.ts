/** What Azure answers, and what it means for the attempt that got it: what failed, why, what to do. https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes */

import { hearsay } from "../../core/hearsay.ts";
import { CERTIFICATE_CODE, nodeCodeOf } from "../../core/node-code.ts";
import { StoreError } from "../port.ts";
import {
  bodyRefused,
  caHint,
  denied,
  fault,
  misconfigured,
  missing,
  outrun,
  type Service,
  type StoreAttempt,
  unavailable,
  type Verdict,
  verdictOnFailure,
} from "../verdict.ts";
import { TokenFailure } from "./identity.ts";

/** The peer answers, but not as Azure does. */
export function notAzure(attempt: StoreAttempt, what: string): StoreError {
  const why = `no Azure Blob Storage answers there (${what})`;
  return fault(attempt, misconfigured(why, ENDPOINT_HINT));
}

/**
 * The error of an attempt that the SDK gave up; a StoreError is given back as it is. Neither message
 * nor cause holds what the SDK keeps on its exceptions: signatures, tokens, SAS URLs, bodies.
 */
export function azureError(error: unknown, attempt: StoreAttempt): StoreError {
  if (error instanceof StoreError) return error;
  const answer = readAnswer(error);
  const said = answer === undefined ? describeFailure(error) : describeAnswer(answer);
  const verdict = answer === undefined ? verdictOnSilence(error) : verdictOn(answer, attempt);
  return fault(
    attempt,
    { ...verdict, why: `${verdict.why} (${said})` },
    { cause: new Error(said) },
  );
}

const ENDPOINT_HINT =
  "Check the account in KONG_CLUSTER_FALLBACK_CONFIG_STORAGE, AZURE_STORAGE_ENDPOINT where it is set, and proxies on the way.";

const AZURE: Service = {
  name: "Azure Blob Storage",
  endpointHint: ENDPOINT_HINT,
  caVariable: "NODE_EXTRA_CA_CERTS",
};

const ROLE_HINT =
  'Give the identity the role "Storage Blob Data Contributor" on the container, or "Storage Blob Data Reader" where it only reads; a new role takes up to ten minutes to hold.';

const SAS_HINT =
  "A SAS token needs the permissions rwdl on the container (rl where it only reads).";

/** By the name of the error first; one status has many meanings. */
function verdictOn(answer: AzureAnswer, attempt: StoreAttempt): Verdict {
  switch (answer.name) {
    case "BlobNotFound":
      return missing(attempt);
    case "BlobAlreadyExists":
    case "ConditionNotMet":
    case "TargetConditionNotMet":
      return outrun(attempt);
    case "ContainerNotFound":
    case "ContainerBeingDeleted":
      return misconfigured(
        `there is no container "${attempt.bucket}"`,
        "Create it (az storage container create), or correct KONG_CLUSTER_FALLBACK_CONFIG_STORAGE.",
      );
    case "ResourceNotFound":
      return misconfigured("there is no such storage account", ENDPOINT_HINT);
    case "AuthenticationFailed":
    case "InvalidAuthenticationInfo":
    case "NoAuthenticationInformation":
      return unauthenticated(answer);
    case "AuthorizationPermissionMismatch":
    case "InsufficientAccountPermissions":
    case "UnauthorizedBlobOverwrite":
      return denied("the permissions do not reach so far", `${ROLE_HINT} ${SAS_HINT}`);
    case "AuthorizationFailure":
    case "AuthorizationSourceIPMismatch":
    case "AuthorizationProtocolMismatch":
    case "AuthorizationServiceMismatch":
    case "AuthorizationResourceTypeMismatch":
      return denied(
        "access is denied, from here or with these credentials",
        `Look at the account's firewall (networking, private endpoints), then at AZURE_STORAGE_KEY. ${SAS_HINT}`,
      );
    case "KeyBasedAuthenticationNotPermitted":
      return denied(
        "the account takes no access keys",
        "Unset AZURE_STORAGE_KEY and use an identity: docs/stores/azure.md.",
      );
    case "PublicAccessNotPermitted":
      return denied("no credentials were sent that the account knows", ROLE_HINT);
    case "AccountIsDisabled":
      return denied("the storage account is disabled", "Look at the Azure subscription.");
    case "BlobImmutableDueToPolicy":
    case "BlobArchived":
    case "InvalidBlobType":
    case "LeaseIdMissing":
    case "SnapshotsPresent":
      return misconfigured(
        "the object that lies there cannot be replaced or read",
        "It is under an immutability policy or a lease, archived, has blob snapshots, or is no block blob: docs/stores/azure.md.",
      );
    case "Md5Mismatch":
    case "InvalidMd5":
      return unavailable(
        "the body arrived damaged",
        "It is tried again later. If it lasts, look at the network.",
      );
    case "ServerBusy":
    case "InternalError":
    case "OperationTimedOut":
      return unavailable("the server is overloaded or in trouble");
    default:
      return verdictOnStatus(answer, attempt);
  }
}

function verdictOnStatus(answer: AzureAnswer, attempt: StoreAttempt): Verdict {
  const { status, name } = answer;
  if (status === 408 || status === 429 || status >= 500) {
    return unavailable("the server is overloaded or in trouble");
  }
  if (status === 413) return bodyRefused();
  if (name === undefined)
    return misconfigured("no Azure Blob Storage answers there", ENDPOINT_HINT);
  if (status === 412) return outrun(attempt);
  if (status === 401 || status === 403) return denied("access is denied", ROLE_HINT);
  return misconfigured(
    "the server refuses the request",
    "docs/stores/azure.md tells what is asked of an account.",
  );
}

function unauthenticated({ about, date }: AzureAnswer): Verdict {
  if (about === "clock") {
    const server = date === undefined ? "" : `: the server's says ${date}`;
    return misconfigured(
      `the clocks are too far apart${server}`,
      "Set this machine's clock (NTP).",
    );
  }
  if (about === "expiry") {
    return denied("the token has expired, or is not valid yet", "Renew AZURE_STORAGE_SAS_TOKEN.");
  }
  return denied(
    "the account does not accept the credentials",
    "An access key belongs to one account only: compare AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN with the account of the URL. For an identity compare AZURE_TENANT_ID with the account's tenant.",
  );
}

/** No answer came, or not a whole one. */
function verdictOnSilence(error: unknown): Verdict {
  if (error instanceof TokenFailure) return verdictOnToken(error);
  if (isBrokenOff(error)) return unavailable("the connection broke");
  // The SDK's word for a download without ETag or length, and for an answer that is no XML.
  if (error instanceof RangeError || nodeCodeOf(error) === "PARSE_ERROR") {
    return misconfigured("no Azure Blob Storage answers there", ENDPOINT_HINT);
  }
  return verdictOnFailure(error, AZURE);
}

function verdictOnToken({ identity, seen }: TokenFailure): Verdict {
  const { aadsts, status, nodeCode = "" } = seen;
  const why = `no access token for the ${identity}`;
  if (CERTIFICATE_CODE.test(nodeCode)) return misconfigured(why, caHint(AZURE));
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
export function isBrokenOff(error: unknown): boolean {
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

/**
 * The SDK's exception holds the request with its signature, SAS token or access token, and the
 * server's sentences, which for a wrong signature quote what was signed. Only these parts go further.
 */
export interface AzureAnswer {
  /** HTTP status. */
  readonly status: number;
  /** Azure's name of the error, e.g. `BlobNotFound`; undefined where the answer has none, i.e. is not Azure's. */
  readonly name: string | undefined;
  /** For Microsoft's support. */
  readonly requestId: string | undefined;
  /** What the sentence is about, where the name is too wide. */
  readonly about: "clock" | "expiry" | undefined;
  /** The server's own time. */
  readonly date: string | undefined;
}

/** Undefined where no answer came: a network or TLS failure, no token, a bug. */
export function readAnswer(error: unknown): AzureAnswer | undefined {
  const thrown = record(error);
  const status = thrown["statusCode"];
  if (typeof status !== "number") return undefined;
  const details = record(thrown["details"]);
  const headers = headersOf(thrown["response"]);
  const name =
    word(headers("x-ms-error-code")) ?? word(details["errorCode"]) ?? word(thrown["code"]);
  const sentences = [details["message"], thrown["message"], details["authenticationErrorDetail"]];
  return {
    status,
    name: name === "REQUEST_SEND_ERROR" || name === "PARSE_ERROR" ? undefined : name,
    requestId: /^[0-9a-f-]{36}$/.exec(headers("x-ms-request-id") ?? "")?.[0],
    about: aboutOf(sentences.filter((text) => typeof text === "string").join("\n")),
    date: headers("date"),
  };
}

/** E.g. `HTTP 403 AuthorizationPermissionMismatch, request 6a1b…`, or `HTTP 200, no Azure error`. */
export function describeAnswer({ status, name, requestId }: AzureAnswer): string {
  const request = requestId === undefined ? "" : `, request ${requestId}`;
  return `HTTP ${status}${name === undefined ? ", no Azure error" : ` ${name}`}${request}`;
}

function aboutOf(text: string): AzureAnswer["about"] {
  if (/date header too old|not valid yet|not yet valid/i.test(text)) return "clock";
  if (/not valid in the specified time frame|lifetime|expired/i.test(text)) return "expiry";
  return undefined;
}

/** Reads a header by its lower-case name. */
function headersOf(response: unknown): (name: string) => string | undefined {
  const headers = record(response)["headers"];
  return (name) => {
    const get = record(headers)["get"];
    const value: unknown = typeof get === "function" ? get.call(headers, name) : undefined;
    return typeof value === "string" ? value : undefined;
  };
}

function word(value: unknown): string | undefined {
  const isWord = typeof value === "string" && /^[A-Za-z0-9_]{1,80}$/.test(value);
  // A word can be a key, too, if it is not Azure who answers.
  return isWord && hearsay(value) === value ? value : undefined;
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
