/** What S3-like servers answer, and what it means for the attempt that got it: what failed, why, what to do. */

import { describeCause } from "../../core/errors.ts";
import { hearsay } from "../../core/hearsay.ts";
import { isTlsCode, nodeCodeOf, SOCKET_CODE } from "../../core/node-code.ts";
import { StoreError } from "../port.ts";
import {
  bodyRefused,
  denied,
  fault,
  isTimeout,
  misconfigured,
  missing,
  outrun,
  type Service,
  type StoreAttempt,
  unavailable,
  type Verdict,
  verdictOnFailure,
} from "../verdict.ts";

/** The peer answers, but not as S3 does. */
export function notS3(attempt: StoreAttempt, what: string): StoreError {
  return fault(attempt, misconfigured(`no S3 server answers there (${what})`, ENDPOINT_HINT));
}

/**
 * The error of an attempt that the SDK gave up; a StoreError is given back as it is. Neither
 * message nor cause holds what the SDK keeps on its exceptions: signatures, tokens, bodies.
 */
export function s3Error(error: unknown, attempt: StoreAttempt): StoreError {
  if (error instanceof StoreError) return error;
  const answer = readAnswer(error);
  const verdict = answer === undefined ? verdictOnFailure(error, S3) : verdictOn(answer, attempt);
  const said = answer === undefined ? describeFailure(error) : describeAnswer(answer);
  return fault(
    attempt,
    { ...verdict, why: `${verdict.why} (${said})` },
    { cause: answer === undefined && isSystemError(error) ? error : new Error(said) },
  );
}

const ENDPOINT_HINT =
  "Check AWS_CONFIG_STORAGE_ENDPOINT: scheme (http or https), host, and the port of the S3 API, not that of a console.";

const S3: Service = {
  name: "S3 server",
  endpointHint: ENDPOINT_HINT,
  caVariable: "AWS_CA_BUNDLE",
};

const CREDENTIALS_HINT =
  "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the role of this pod or machine.";

const PERMISSIONS: Readonly<Record<StoreAttempt["action"], string>> = {
  read: "s3:GetObject on the object, and s3:ListBucket on the bucket: without it S3 says 403 even for an object that does not exist yet",
  write: "s3:PutObject on the object, and use of the KMS key where the bucket encrypts with one",
  list: "s3:ListBucket on the bucket",
  delete: "s3:DeleteObject on the object",
};

/** How a skewed clock is told by servers that name it AccessDenied, and by AWS's token service. */
const TOO_LATE = /difference between the request time|^Signature (?:expired|not yet current)/i;

/** By the name of the error first: servers disagree more about statuses than about names. */
export function verdictOn(answer: S3Answer, attempt: StoreAttempt): Verdict {
  switch (TOO_LATE.test(answer.message ?? "") ? "RequestTimeTooSkewed" : answer.name) {
    case "NoSuchKey":
      return missing(attempt);
    case "PreconditionFailed":
    case "ConditionalRequestConflict":
      return outrun(attempt);
    case "NoSuchBucket":
      return misconfigured(
        `there is no bucket "${attempt.bucket}"`,
        "Create the bucket, or correct KONG_CLUSTER_FALLBACK_CONFIG_STORAGE, AWS_REGION or AWS_CONFIG_STORAGE_ENDPOINT.",
      );
    case "InvalidBucketName":
      return misconfigured(
        `the server does not take "${attempt.bucket}" for a bucket's name`,
        "Correct KONG_CLUSTER_FALLBACK_CONFIG_STORAGE.",
      );
    // Of Alibaba Cloud's OSS and of Tencent Cloud's COS, with status 403.
    case "SecondLevelDomainForbidden":
    case "PathStyleDomainForbidden":
      return misconfigured(
        "the server wants the bucket in the host's name",
        "Set KONG_FALLBACK_S3_ADDRESSING=virtual.",
      );
    case "AccessDenied":
    case "AllAccessDisabled":
      return denied("access is denied", `Allow ${PERMISSIONS[attempt.action]}.`);
    case "InvalidAccessKeyId":
    case "SignatureDoesNotMatch":
    case "UnrecognizedClientException":
    // versitygw's, with status 404.
    case "XAdminUserNotFound":
      return denied(
        "the server does not accept the access key, or its secret is wrong",
        CREDENTIALS_HINT,
      );
    case "ExpiredToken":
    case "ExpiredTokenException":
    case "TokenRefreshRequired":
      return denied("the session token has expired", `Renew it. ${CREDENTIALS_HINT}`);
    case "InvalidToken":
    case "InvalidClientTokenId":
    case "InvalidIdentityToken":
      return denied("the session token or web identity token is not valid", CREDENTIALS_HINT);
    case "RequestTimeTooSkewed":
      return { ...skewed(answer, attempt), retryable: true };
    case "AuthorizationHeaderMalformed":
    case "PermanentRedirect":
    case "TemporaryRedirect":
    case "IllegalLocationConstraintException":
      return elsewhere(answer, attempt);
    case "NotImplemented":
      return misconfigured(
        attempt.when === undefined
          ? "the server does not implement this request"
          : "the server does not implement conditional writes",
        "Use a server that does: docs/stores/s3.md lists those that were tried.",
      );
    case "InvalidObjectState":
      return misconfigured(
        "the object lies in an archive and cannot be read at once",
        "Restore it, and keep lifecycle rules that archive away from this prefix.",
      );
    case "InsufficientStorage":
    case "QuotaExceeded":
    case "XMinioStorageFull":
    case "XMinioAdminBucketQuotaExceeded":
      return {
        code: "STORE_FULL",
        why: "no space or quota is left",
        hint: "Free space or raise the quota of the store.",
      };
    case "SlowDown":
    case "SlowDownRead":
    case "SlowDownWrite":
    case "RequestTimeout":
    case "InternalError":
    case "ServiceUnavailable":
    case "OperationAborted":
      return unavailable("the server is overloaded or in trouble");
    default:
      return verdictOnStatus(answer, attempt);
  }
}

function verdictOnStatus(answer: S3Answer, attempt: StoreAttempt): Verdict {
  const { status, name } = answer;
  if (status === 412) return verdictOn({ ...answer, name: "PreconditionFailed" }, attempt);
  if (status === 507) return verdictOn({ ...answer, name: "InsufficientStorage" }, attempt);
  if (status === 501) return verdictOn({ ...answer, name: "NotImplemented" }, attempt);
  if (status === 408 || status === 429 || status >= 500) {
    return unavailable("the server is overloaded or in trouble");
  }
  if (status === 413) return bodyRefused();
  if (status === 401 || status === 403) {
    return denied(
      "access is denied",
      `${CREDENTIALS_HINT} Then allow ${PERMISSIONS[attempt.action]}.`,
    );
  }
  if (status >= 300 && status < 400) return elsewhere(answer, attempt);
  if (name === undefined) return misconfigured("no S3 server answers there", ENDPOINT_HINT);
  return misconfigured(
    "the server refuses the request",
    "docs/stores/s3.md tells what is asked of a server.",
  );
}

function skewed(answer: S3Answer, attempt: StoreAttempt): Verdict {
  const server =
    answer.serverTime === undefined ? "" : ` and the server's ${answer.serverTime.toISOString()}`;
  return misconfigured(
    `the clocks are too far apart: this machine's says ${attempt.clock.now().toISOString()}${server}`,
    "Set the clock of this machine (NTP). Another attempt allows for the difference, but the times in the snapshots stay wrong.",
  );
}

function elsewhere(answer: S3Answer, attempt: StoreAttempt): Verdict {
  if (answer.region !== undefined) {
    return misconfigured(
      `the bucket "${attempt.bucket}" belongs to region ${answer.region}`,
      `Set AWS_REGION=${answer.region}.`,
    );
  }
  return answer.redirect === undefined
    ? misconfigured("the region is wrong", "Set AWS_REGION to the region of the bucket.")
    : misconfigured(`the server sends us on to ${answer.redirect}`, ENDPOINT_HINT);
}

/** What the SDK puts around its sentence about a timeout. */
const SDK_NOISE = /^@smithy\/node-http-handler - | \(configured by client requestHandler\)\.|\.$/g;

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

/**
 * The SDK copies the whole error document onto its exception: for a wrong signature the string that
 * was signed, for an expired token the token. Only these parts go further.
 */
export interface S3Answer {
  /** HTTP status. */
  readonly status: number;
  /** S3's name of the error; undefined where the answer has none, i.e. is no S3 error document. */
  readonly name: string | undefined;
  /** The server's own sentence, see `hearsay`. */
  readonly message: string | undefined;
  /** For the support of the store's operator. */
  readonly requestId: string | undefined;
  readonly contentType: string | undefined;
  /** From the document, else the Date header. */
  readonly serverTime: Date | undefined;
  /** Region the server expects requests to be signed for. */
  readonly region: string | undefined;
  /** Host or origin where the server wants the request to go. */
  readonly redirect: string | undefined;
}

/** Undefined where no answer came: a network or TLS failure, no credentials, a bug. */
export function readAnswer(error: unknown): S3Answer | undefined {
  const thrown = record(error);
  const metadata = record(thrown["$metadata"]);
  const status = metadata["httpStatusCode"];
  if (typeof status !== "number") return undefined;
  const headers = record(record(thrown["$response"])["headers"]);
  const name = word(thrown["Code"]);
  const sentence = text(thrown["message"]);
  // The SDK says UnknownError where the server says nothing.
  const silent = name === undefined || sentence === name || sentence === "UnknownError";
  const message = silent || sentence === undefined ? undefined : hearsay(sentence) || undefined;
  return {
    status,
    name,
    message,
    requestId: word(metadata["requestId"]),
    contentType: word(headers["content-type"]),
    serverTime: time(thrown["ServerTime"]) ?? time(headers["date"]),
    region:
      word(thrown["Region"]) ??
      word(headers["x-amz-bucket-region"]) ??
      /expecting '([a-z0-9-]+)'/.exec(message ?? "")?.[1],
    redirect: text(thrown["Endpoint"]) ?? origin(text(headers["location"])),
  };
}

/** E.g. `HTTP 403 AccessDenied: Access Denied, request 17C2…`, or `HTTP 200 text/html` for a stranger. */
export function describeAnswer(answer: S3Answer): string {
  const what = answer.name ?? `${answer.contentType ?? "without content type"}, no S3 error`;
  const said = answer.message === undefined ? "" : `: ${answer.message.replace(/\.$/, "")}`;
  const request = answer.requestId === undefined ? "" : `, request ${answer.requestId}`;
  return `HTTP ${answer.status} ${what}${said}${request}`;
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** A name, an id, a type; undefined for what is none: it goes into messages as it is. */
function word(value: unknown): string | undefined {
  return /^[\w.+/=-]{1,80}/.exec(text(value) ?? "")?.[0];
}

function time(value: unknown): Date | undefined {
  const date = value instanceof Date ? value : new Date(text(value) ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/** Path and query are dropped: they may carry a signature. */
function origin(url: string | undefined): string | undefined {
  return url !== undefined && URL.canParse(url) ? new URL(url).origin : undefined;
}
