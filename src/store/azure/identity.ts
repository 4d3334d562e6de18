/** Who asks: a key, a SAS token, or an identity of Entra ID. Which one, the settings alone decide. */

import type {
  AccessToken,
  ClientSecretCredentialOptions,
  GetTokenOptions,
  TokenCredential,
} from "@azure/identity";
import type { Secret } from "../../core/secret.ts";
import { DIRECT } from "../../network/egress.ts";
import { Outbound } from "../../network/outbound.ts";
import { StoreError } from "../port.ts";

/** As the `AZURE_*` settings give them. */
export interface AzureCredentials {
  readonly accountKey?: Secret | undefined;
  /** With or without the leading `?`. */
  readonly sasToken?: Secret | undefined;
  readonly tenantId?: string | undefined;
  readonly clientId?: string | undefined;
  readonly clientSecret?: Secret | undefined;
  /** Path of a token that is exchanged for one of Entra ID, as AKS writes it; read again as it is renewed. */
  readonly federatedTokenFile?: string | undefined;
  /** Absent: `https://login.microsoftonline.com`. */
  readonly authorityHost?: string | undefined;
}

export type AzureAccess =
  | { readonly kind: "key"; readonly key: Secret }
  | { readonly kind: "sas"; readonly token: Secret }
  | {
      readonly kind: "identity";
      readonly name: IdentityName;
      readonly credential: TokenCredential;
    };

export type IdentityName = "client secret" | "workload identity" | "managed identity";

/**
 * The first of these that is set: account key, SAS token, client secret, federated token file; else
 * the managed identity of the machine. No other is tried when it fails: the SDK's own chain
 * (`DefaultAzureCredential`) would ask every command line tool of a developer, and say so at length.
 * Loads the identity SDK only where one is needed. Rejects with STORE_DENIED for what cannot work.
 */
export async function chooseAccess(
  credentials: AzureCredentials,
  outbound: Outbound,
): Promise<AzureAccess> {
  const { accountKey, sasToken } = credentials;
  if (accountKey !== undefined) return { kind: "key", key: checkKey(accountKey) };
  if (sasToken !== undefined) return { kind: "sas", token: checkSas(sasToken) };
  const name = nameOf(credentials);
  const witness = new Witness();
  const credential = await openIdentity(name, credentials, outbound, witness);
  return { kind: "identity", name, credential: new Guarded(name, credential, witness) };
}

function nameOf({ clientSecret, federatedTokenFile }: AzureCredentials): IdentityName {
  if (clientSecret !== undefined) return "client secret";
  return federatedTokenFile === undefined ? "managed identity" : "workload identity";
}

async function openIdentity(
  name: IdentityName,
  credentials: AzureCredentials,
  outbound: Outbound,
  witness: Witness,
): Promise<TokenCredential> {
  const { tenantId, clientId, clientSecret, federatedTokenFile, authorityHost } = credentials;
  const sdk = await import("@azure/identity");
  const options: ClientSecretCredentialOptions = {
    // The caller retries, with one budget for everything.
    retryOptions: { maxRetries: 0 },
    // Whoever names another authority means it; asking Microsoft's whether it exists needs one more host.
    disableInstanceDiscovery: true,
    additionalPolicies: [...witness.policies, goingBy(outbound)],
    ...(authorityHost === undefined ? {} : { authorityHost }),
  };
  if (name === "managed identity") {
    const { retryOptions = {} } = options;
    // It is asked on this machine or beside it, whatever the proxy's variables say.
    const additionalPolicies = [goingBy(new Outbound(DIRECT, 0))];
    const own = { retryOptions, additionalPolicies };
    return clientId === undefined
      ? new sdk.ManagedIdentityCredential(own)
      : new sdk.ManagedIdentityCredential({ ...own, clientId });
  }
  const variable = name === "client secret" ? "AZURE_CLIENT_SECRET" : "AZURE_FEDERATED_TOKEN_FILE";
  if (tenantId === undefined || clientId === undefined) {
    const absent = tenantId === undefined ? "AZURE_TENANT_ID" : "AZURE_CLIENT_ID";
    throw unusable(
      `${variable} is set, but ${absent} is not`,
      `Set ${absent}, or unset ${variable}.`,
    );
  }
  try {
    return clientSecret === undefined
      ? new sdk.WorkloadIdentityCredential({
          ...options,
          tenantId,
          clientId,
          ...(federatedTokenFile === undefined ? {} : { tokenFilePath: federatedTokenFile }),
        })
      : new sdk.ClientSecretCredential(tenantId, clientId, clientSecret.reveal(), options);
  } catch {
    // The SDK throws here for a tenant that is none, or an authority that is not https.
    throw unusable(
      "AZURE_TENANT_ID or AZURE_AUTHORITY_HOST cannot be right",
      "The tenant is a GUID or a domain, the authority an https:// address.",
    );
  }
}

/** The SDK leaves a request that has an agent to it, and looks for no proxy. */
function goingBy(
  outbound: Outbound,
): NonNullable<ClientSecretCredentialOptions["additionalPolicies"]>[number] {
  const agentFor = outbound.agents();
  return {
    position: "perCall",
    policy: {
      name: "kong-fallback-outbound",
      sendRequest: (request, next) => {
        request.agent = agentFor(new URL(request.url));
        return next(request);
      },
    },
  };
}

/** Keeps what the SDK's errors hold (requests, assertions, tokens) to itself. */
class Guarded implements TokenCredential {
  readonly #name: IdentityName;
  readonly #inner: TokenCredential;
  readonly #witness: Witness;

  constructor(name: IdentityName, inner: TokenCredential, witness: Witness) {
    this.#name = name;
    this.#inner = inner;
    this.#witness = witness;
  }

  async getToken(
    scopes: string | string[],
    options?: GetTokenOptions,
  ): Promise<AccessToken | null> {
    try {
      return await this.#inner.getToken(scopes, options);
    } catch (error) {
      throw new TokenFailure(this.#name, error, this.#witness.seen);
    }
  }
}

function checkKey(key: Secret): Secret {
  if (/^[A-Za-z0-9+/]{16,}={0,2}$/.test(key.reveal())) return key;
  throw unusable(
    "AZURE_STORAGE_KEY is not base64",
    "Take one of the two access keys of the storage account, not a connection string.",
  );
}

function checkSas(token: Secret): Secret {
  const text = token.reveal();
  if (new URLSearchParams(text).has("sig") && !text.includes("://")) return token;
  throw unusable(
    'AZURE_STORAGE_SAS_TOKEN has no "sig", or an address before it',
    "It is the query of a SAS URL: sv=...&sig=... without the address before it.",
  );
}

function unusable(why: string, hint: string): StoreError {
  return new StoreError("STORE_DENIED", `could not use the Azure credentials: ${why}`, { hint });
}

/** What the requests for a token met with. MSAL keeps that to itself: "endpoints_resolution_error". */
class Witness {
  #seen: Seen = {};

  get seen(): Seen {
    return this.#seen;
  }

  /** For the options of a credential. */
  readonly policies: NonNullable<ClientSecretCredentialOptions["additionalPolicies"]> = [
    {
      position: "perCall",
      policy: {
        name: "kong-fallback-witness",
        sendRequest: async (request, next) => {
          try {
            const answer = await next(request);
            this.#seen = { status: answer.status, ...namesIn(answer.bodyAsText ?? "") };
            return answer;
          } catch (error) {
            this.#seen = { nodeCode: nodeCodeOf(error) };
            throw error;
          }
        },
      },
    },
  ];
}

/** Names and numbers of known form, no text that a server wrote. */
interface Seen {
  /** Of the last answer. */
  readonly status?: number | undefined;
  /** E.g. `AADSTS7000215`. https://learn.microsoft.com/entra/identity-platform/reference-error-codes */
  readonly aadsts?: string | undefined;
  /** E.g. `invalid_client`. https://www.rfc-editor.org/rfc/rfc6749#section-5.2 */
  readonly oauth?: string | undefined;
  /** Node's, e.g. `ECONNREFUSED`, also that of a file which cannot be read. */
  readonly nodeCode?: string | undefined;
}

/** Its message is made of what was seen. */
export class TokenFailure extends Error {
  /** E.g. `managed identity`. */
  readonly identity: string;
  readonly seen: Seen;

  constructor(identity: string, error: unknown, witnessed: Seen) {
    const text = error instanceof Error ? error.message : "";
    const seen = { ...witnessed, ...namesIn(text), ...fileFaultIn(text) };
    const status = seen.status === undefined ? undefined : `HTTP ${seen.status}`;
    const words = [seen.aadsts, seen.oauth, status, seen.nodeCode].filter((word) => word);
    super(words.length > 0 ? words.join(", ") : "nobody answers");
    this.name = "TokenFailure";
    this.identity = identity;
    this.seen = seen;
  }
}

function namesIn(text: string): Pick<Seen, "aadsts" | "oauth"> {
  const aadsts = /\bAADSTS\d{4,8}\b/.exec(text)?.[0];
  const oauth = /\b(?:invalid_(?:client|grant|request|scope)|unauthorized_client)\b/.exec(
    text,
  )?.[0];
  return { ...(aadsts === undefined ? {} : { aadsts }), ...(oauth === undefined ? {} : { oauth }) };
}

/** Of the file with the token, the only one that is read. */
function fileFaultIn(text: string): Pick<Seen, "nodeCode"> {
  const nodeCode = /^(?:ENOENT|EACCES|EISDIR)\b/.exec(text)?.[0];
  return nodeCode === undefined ? {} : { nodeCode };
}

function nodeCodeOf(error: unknown): string | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" && /^[A-Z_]+$/.test(code) ? code : undefined;
}
