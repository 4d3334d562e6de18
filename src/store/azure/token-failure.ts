/** Why no access token came: what may be said of it. */

/** Holds no text that a server wrote, only names and numbers of known form. */
export class TokenFailure extends Error {
  /** E.g. `managed identity`. */
  readonly identity: string;
  /** `AADSTS7000215`; undefined where Entra ID gave none. https://learn.microsoft.com/entra/identity-platform/reference-error-codes */
  readonly aadsts: string | undefined;
  /** Of the answer; undefined if none came. */
  readonly status: number | undefined;
  /** Node's, e.g. `ECONNREFUSED`, also that of a file which cannot be read; undefined if there is none. */
  readonly nodeCode: string | undefined;

  constructor(identity: string, error: unknown) {
    const chain = causes(error);
    const texts = chain.map((link) => link.message).join("\n");
    const aadsts = /\bAADSTS\d{4,8}\b/.exec(texts)?.[0];
    const status = chain.map(statusOf).find((found) => found !== undefined);
    const nodeCode =
      chain.map(codeOf).find((code) => NODE_CODE.test(code)) ??
      new RegExp(`\\b(?:${NETWORK})\\b`).exec(texts)?.[0];
    const oauth =
      /\b(?:invalid_client|invalid_grant|invalid_request|invalid_scope|unauthorized_client|identity_not_found)\b/.exec(
        texts,
      )?.[0];
    const said = [aadsts, oauth, status === undefined ? undefined : `HTTP ${status}`, nodeCode];
    const words = said.filter((word) => word !== undefined);
    super(words.length === 0 ? (chain[0]?.name ?? "unknown reason") : words.join(", "));
    this.name = "TokenFailure";
    this.identity = identity;
    this.aadsts = aadsts;
    this.status = status;
    this.nodeCode = nodeCode;
  }
}

const NETWORK =
  "ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE";

const NODE_CODE =
  /^(?:E[A-Z_]+|CERT_[A-Z_]+|ERR_TLS_[A-Z_]+|SELF_SIGNED_[A-Z_]+|DEPTH_ZERO_[A-Z_]+|UNABLE_TO_[A-Z_]+)$/;

/** The error and what lies behind it, five deep at most. */
function causes(error: unknown): readonly Error[] {
  const chain: Error[] = [];
  for (let link = error; link instanceof Error && chain.length < 5; link = link.cause) {
    chain.push(link);
  }
  return chain;
}

function statusOf(error: Error): number | undefined {
  return "statusCode" in error && typeof error.statusCode === "number"
    ? error.statusCode
    : undefined;
}

function codeOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : "";
}
