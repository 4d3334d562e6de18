/** Why no access token came: what may be said of it. */

import type { ClientSecretCredentialOptions } from "@azure/identity";

/** What the requests for a token met with. MSAL keeps that to itself: "endpoints_resolution_error". */
export class Witness {
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
export interface Seen {
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
