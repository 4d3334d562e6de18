/** What the Azure store says when the service refuses. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { TokenFailure } from "../../src/store/azure/identity.ts";
import { azureError } from "../../src/store/azure/verdicts.ts";
import type { AzureStoreOptions } from "../../src/store/azure.ts";
import type { Store, StoreErrorCode } from "../../src/store/port.ts";
import type { AzureFault } from "../fakes/azure-server.ts";
import { FakeAzure } from "../fakes/azure-server.ts";
import { openAzure, refused } from "./azure-support.ts";
import { get, keys, never, put } from "./conformance/client.ts";

/** Stands for a configuration, which no error may show. */
const BODY = '{"consumers":[{"custom_id":"body-secret"}]}'.repeat(5_000);

let fake: FakeAzure;
let store: Store;

const open = (options: Partial<AzureStoreOptions> = {}) => openAzure(fake, options);

beforeEach(async () => {
  fake = await FakeAzure.start();
  store = await open();
  await put(store, "a", BODY);
  fake.requests.length = 0;
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await fake[Symbol.asyncDispose]();
});

const error = (status: number, code?: string, message?: string): AzureFault => ({
  kind: "error",
  status,
  ...(code === undefined ? {} : { code }),
  ...(message === undefined ? {} : { message }),
});

/** The four operations, by the verb that their messages begin with. */
const OPERATIONS: Readonly<Record<string, () => Promise<unknown>>> = {
  "read azure://kongfallback/backups/some/prefix/a": () => get(store, "a"),
  "write azure://kongfallback/backups/some/prefix/a": () => put(store, "a", BODY),
  "list azure://kongfallback/backups/some/prefix/": () => keys(store, ""),
  "delete azure://kongfallback/backups/some/prefix/a": () => store.delete("a", never),
};

describe("Azure's refusals", () => {
  const TOO_OLD = "Request date header too old: 'Sat, 21 Nov 2026 10:00:00 GMT'";
  const SIGNED = "The MAC signature is not the same. String to sign: 'body-secret sig=abc'";
  const OVER = "Signature not valid in the specified time frame: Start [a] - Expiry [b]";

  it.each<readonly [string, AzureFault, StoreErrorCode, RegExp, RegExp]>([
    [
      "a wrong key",
      error(403, "AuthenticationFailed", SIGNED),
      "STORE_DENIED",
      /does not accept the credentials \(HTTP 403 AuthenticationFailed, request 6a1b/,
      /AZURE_STORAGE_KEY/,
    ],
    [
      "a clock that is off",
      error(403, "AuthenticationFailed", TOO_OLD),
      "STORE_MISCONFIGURED",
      /clocks are too far apart: the server's says/,
      /NTP/,
    ],
    [
      "an expired SAS token",
      error(403, "AuthenticationFailed", OVER),
      "STORE_DENIED",
      /has expired/,
      /AZURE_STORAGE_SAS_TOKEN/,
    ],
    [
      "a token it does not know",
      error(401, "InvalidAuthenticationInfo"),
      "STORE_DENIED",
      /HTTP 401/,
      /AZURE_TENANT_ID/,
    ],
    [
      "an identity without the role",
      error(403, "AuthorizationPermissionMismatch"),
      "STORE_DENIED",
      /do not reach so far/,
      /Storage Blob Data Contributor/,
    ],
    [
      "a firewall",
      error(403, "AuthorizationFailure"),
      "STORE_DENIED",
      /access is denied/,
      /firewall/,
    ],
    [
      "keys that are switched off",
      error(403, "KeyBasedAuthenticationNotPermitted"),
      "STORE_DENIED",
      /takes no access keys/,
      /identity/,
    ],
    [
      "a disabled account",
      error(403, "AccountIsDisabled"),
      "STORE_DENIED",
      /is disabled/,
      /subscription/,
    ],
    [
      "a 403 of a new name",
      error(403, "SomethingNew"),
      "STORE_DENIED",
      /HTTP 403 SomethingNew/,
      /role/,
    ],
    [
      "an immutability policy",
      error(409, "BlobImmutableDueToPolicy"),
      "STORE_MISCONFIGURED",
      /cannot be replaced/,
      /immutability/,
    ],
    [
      "a missing container",
      error(404, "ContainerNotFound"),
      "STORE_MISCONFIGURED",
      /no container "backups"/,
      /az storage/,
    ],
    [
      "a 400 of a new name",
      error(400, "InvalidHeaderValue"),
      "STORE_MISCONFIGURED",
      /refuses the request/,
      /docs/,
    ],
    [
      "a body that was damaged",
      error(400, "Md5Mismatch"),
      "STORE_UNAVAILABLE",
      /arrived damaged/,
      /network/,
    ],
    ["throttling", error(503, "ServerBusy"), "STORE_UNAVAILABLE", /overloaded/, /health/],
    [
      "a timeout of its own",
      error(500, "OperationTimedOut"),
      "STORE_UNAVAILABLE",
      /overloaded/,
      /health/,
    ],
    [
      "a gateway's 502",
      { kind: "page", status: 502 },
      "STORE_UNAVAILABLE",
      /HTTP 502, no Azure error/,
      /health/,
    ],
    [
      "a portal's page",
      { kind: "page", status: 200 },
      "STORE_MISCONFIGURED",
      /no Azure Blob Storage answers/,
      /AZURE_STORAGE_ENDPOINT/,
    ],
    [
      "a portal's refusal",
      { kind: "page", status: 403 },
      "STORE_MISCONFIGURED",
      /no Azure Blob Storage answers/,
      /prox/,
    ],
    [
      "a reset",
      { kind: "reset" },
      "STORE_UNAVAILABLE",
      /connection broke \(ECONNRESET\)/,
      /health/,
    ],
  ])(
    "of %s: says so in every operation, after one request, and shows no secret",
    async (_, fault, code, message, hint) => {
      fake.fault = () => fault;
      for (const [what, operation] of Object.entries(OPERATIONS)) {
        fake.requests.length = 0;
        const seen = await refused(operation(), { code, message, hint }, [
          fake.accountKey,
          "body-secret",
        ]);
        assert.ok(seen.message.startsWith(`could not ${what} at ${fake.endpoint}/`), seen.message);
        assert.equal(fake.requests.length, 1, what);
      }
    },
  );
});

describe("an identity of Azure that gets no token", () => {
  const attempt = {
    action: "read",
    target: "azure://kongfallback/backups/a",
    bucket: "backups",
    place: "https://kongfallback.blob.core.windows.net, an identity",
    when: undefined,
    clock: systemClock,
  } as const;

  it.each<
    readonly [
      string,
      string,
      ConstructorParameters<typeof TokenFailure>[2],
      StoreErrorCode,
      boolean,
      RegExp,
    ]
  >([
    ["nobody answers", "managed identity", {}, "STORE_DENIED", true, /assign an identity/],
    ["HTTP 429", "managed identity", { status: 429 }, "STORE_DENIED", true, /assign an identity/],
    ["HTTP 429", "client secret", { status: 429 }, "STORE_UNAVAILABLE", true, /AUTHORITY_HOST/],
    ["HTTP 503", "workload identity", { status: 503 }, "STORE_UNAVAILABLE", true, /egress to/],
    [
      "ECONNREFUSED",
      "client secret",
      { nodeCode: "ECONNREFUSED" },
      "STORE_UNAVAILABLE",
      true,
      /DNS/,
    ],
    [
      "invalid_client",
      "client secret",
      { status: 401, oauth: "invalid_client" },
      "STORE_DENIED",
      false,
      /CLIENT_SECRET/,
    ],
    [
      "AADSTS7000222",
      "client secret",
      { status: 401, aadsts: "AADSTS7000222" },
      "STORE_DENIED",
      false,
      /secret has expired/,
    ],
    [
      "AADSTS50000",
      "workload identity",
      { status: 503, aadsts: "AADSTS50000" },
      "STORE_DENIED",
      false,
      /TOKEN_FILE/,
    ],
    [
      "ENOENT",
      "workload identity",
      { nodeCode: "ENOENT" },
      "STORE_DENIED",
      true,
      /AZURE_FEDERATED_TOKEN_FILE/,
    ],
    [
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      "client secret",
      { nodeCode: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" },
      "STORE_MISCONFIGURED",
      false,
      /NODE_EXTRA_CA_CERTS/,
    ],
  ])("%s (%s)", async (said, identity, seen, code, retryable, hint) => {
    const failure = new TokenFailure(identity, new Error("body-secret"), seen);
    const message = new RegExp(`no access token for the ${identity} \\(.*${said}`);
    const rejected = Promise.reject(azureError(failure, attempt));
    await refused(rejected, { code, message, hint, retryable }, ["body-secret"]);
  });
});
