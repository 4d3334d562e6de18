/** The codes of Node's errors, by which drivers tell what kind of failure an SDK passes on. https://nodejs.org/docs/latest-v20.x/api/errors.html */

/** Node's code; empty where there is none. */
export function nodeCodeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}

/** The peer's certificate is the matter. */
export const CERTIFICATE_CODE =
  /^(?:CERT_|ERR_TLS_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|INVALID_(?:CA|PURPOSE)$)/;

/** TLS failed: for the certificate, or because something else is spoken there. */
export function isTlsCode(code: string): boolean {
  return CERTIFICATE_CODE.test(code) || /^(?:ERR_SSL_|EPROTO$)/.test(code);
}

/** Of the socket and the resolver, and (`HPE_`) of Node's HTTP parser; not Node's own, as ERR_INVALID_CHAR: those are no matter of the network. */
export const SOCKET_CODE = /^(?:E(?!RR_)[A-Z_]+|HPE_[A-Z_]+)$/;
