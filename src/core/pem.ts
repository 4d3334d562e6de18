/** Where a setting has its PEM: in itself, as text or base64 of it, or in a file. Kong/kong@3.9.1 kong/conf_loader/init.lua */

export type PemSource =
  | { readonly kind: "text"; readonly text: string }
  | {
      readonly kind: "file";
      readonly path: string;
      /** False where it may be a damaged key instead, and must not be repeated. */
      readonly isShown: boolean;
    };

export function locatePem(value: string): PemSource {
  if (isPem(value)) return { kind: "text", text: value };
  const decoded = Buffer.from(value, "base64").toString("latin1");
  if (isPem(decoded)) return { kind: "text", text: decoded };
  return { kind: "file", path: value, isShown: looksLikePath(value) };
}

export function isPem(text: string): boolean {
  return text.includes("-----BEGIN ");
}

/** Base64, and so a damaged key, has no dot and seldom begins with a slash; a path has no long word of all kinds of letters. */
export function looksLikePath(value: string): boolean {
  const isBase64Like = /(?=\S*[a-z])(?=\S*[A-Z])(?=\S*\d)[A-Za-z0-9+/=]{64,}/.test(value);
  // Bech32, as age keys are: of one case, so not like base64.
  const isBech32Like = /[ac-hj-np-z02-9]{50,}/i.test(value);
  return (
    value.length <= 255 && !isBase64Like && !isBech32Like && /^(\/|[^\n]*\.)[^\n]*$/.test(value)
  );
}

/** By the headers of its blocks, RFC 7468 and RFC 1421; words around the blocks are comments. */
export function isEncryptedKey(text: string): boolean {
  return /^-----BEGIN ENCRYPTED PRIVATE KEY-----|^-----BEGIN [A-Z ]*PRIVATE KEY-----\s+Proc-Type:\s*4,\s*ENCRYPTED/m.test(
    text,
  );
}
