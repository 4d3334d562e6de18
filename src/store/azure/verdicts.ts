/** What an answer of Azure means for the attempt that got it. https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes */

import {
  denied,
  misconfigured,
  outrun,
  type StoreAttempt,
  unavailable,
  type Verdict,
} from "../verdict.ts";
import type { AzureAnswer } from "./answer.ts";

/** What was tried. */
export interface AzureAttempt extends StoreAttempt {
  readonly container: string;
}

export const ENDPOINT_HINT =
  "Check the account in KONG_CLUSTER_FALLBACK_CONFIG_STORAGE, AZURE_STORAGE_ENDPOINT where it is set, and proxies on the way.";

const ROLE_HINT =
  'Give the identity the role "Storage Blob Data Contributor" on the container, or "Storage Blob Data Reader" where it only reads; a new role takes up to ten minutes to hold.';

const SAS_HINT =
  "A SAS token needs the permissions rwdl on the container (rl where it only reads).";

/** By the name of the error first; one status has many meanings. */
export function judgeAnswer(answer: AzureAnswer, attempt: AzureAttempt): Verdict {
  switch (answer.name) {
    case "BlobNotFound":
      return attempt.when === undefined
        ? {
            code: "STORE_NOT_FOUND",
            why: "there is no such object",
            hint: "Normal before the first export. Otherwise compare container, prefix and Kong version with the exporter's.",
          }
        : { code: "STORE_PRECONDITION_FAILED", why: "the object to replace is gone" };
    case "BlobAlreadyExists":
    case "ConditionNotMet":
    case "TargetConditionNotMet":
      return outrun(attempt);
    case "ContainerNotFound":
    case "ContainerBeingDeleted":
      return misconfigured(
        `there is no container "${attempt.container}"`,
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
      return judgeStatus(answer, attempt);
  }
}

function judgeStatus(answer: AzureAnswer, attempt: AzureAttempt): Verdict {
  const { status, name } = answer;
  if (status === 408 || status === 429 || status >= 500) {
    return unavailable("the server is overloaded or in trouble");
  }
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
