/** What the answer of an S3-like server means for the attempt that got it. */

import type { Clock } from "../../core/clock.ts";
import {
  denied,
  misconfigured,
  outrun,
  type StoreAttempt,
  unavailable,
  type Verdict,
} from "../verdict.ts";
import type { S3Answer } from "./answer.ts";

/** What was tried. */
export interface S3Attempt extends StoreAttempt {
  readonly bucket: string;
  /** The one requests are signed with. */
  readonly clock: Clock;
}

export const ENDPOINT_HINT =
  "Check AWS_CONFIG_STORAGE_ENDPOINT: scheme (http or https), host, and the port of the S3 API, not that of a console.";

const CREDENTIALS_HINT =
  "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the role of this pod or machine.";

const PERMISSIONS: Readonly<Record<S3Attempt["action"], string>> = {
  read: "s3:GetObject on the object, and s3:ListBucket on the bucket: without it S3 says 403 even for an object that does not exist yet",
  write: "s3:PutObject on the object, and use of the KMS key where the bucket encrypts with one",
  list: "s3:ListBucket on the bucket",
  delete: "s3:DeleteObject on the object",
};

/** How a skewed clock is told by servers that name it AccessDenied, and by AWS's token service. */
const TOO_LATE = /difference between the request time|^Signature (?:expired|not yet current)/i;

/** By the name of the error first: servers disagree more about statuses than about names. */
export function judgeAnswer(answer: S3Answer, attempt: S3Attempt): Verdict {
  switch (TOO_LATE.test(answer.message ?? "") ? "RequestTimeTooSkewed" : answer.name) {
    case "NoSuchKey":
      return attempt.when === undefined
        ? { code: "STORE_NOT_FOUND", why: "there is no such object" }
        : { code: "STORE_PRECONDITION_FAILED", why: "the object to replace is gone" };
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
      return judgeStatus(answer, attempt);
  }
}

function judgeStatus(answer: S3Answer, attempt: S3Attempt): Verdict {
  const { status, name } = answer;
  if (status === 412) return judgeAnswer({ ...answer, name: "PreconditionFailed" }, attempt);
  if (status === 507) return judgeAnswer({ ...answer, name: "InsufficientStorage" }, attempt);
  if (status === 501) return judgeAnswer({ ...answer, name: "NotImplemented" }, attempt);
  if (status === 408 || status === 429 || status >= 500) {
    return unavailable("the server is overloaded or in trouble");
  }
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

function skewed(answer: S3Answer, attempt: S3Attempt): Verdict {
  const server =
    answer.serverTime === undefined ? "" : ` and the server's ${answer.serverTime.toISOString()}`;
  return misconfigured(
    `the clocks are too far apart: this machine's says ${attempt.clock.now().toISOString()}${server}`,
    "Set the clock of this machine (NTP). Another attempt allows for the difference, but the times in the snapshots stay wrong.",
  );
}

function elsewhere(answer: S3Answer, attempt: S3Attempt): Verdict {
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
