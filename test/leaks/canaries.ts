/** Secrets that exist once in the world, and the search for any piece of them, in whatever form, in what a program gave away. */

import { createPrivateKey, randomBytes } from "node:crypto";

/** Where a canary was planted; a surface may be allowed to show some of them. */
export type Group =
  | "config"
  | "cluster-key"
  | "server-key"
  | "admin-key"
  | "aws-secret"
  | "aws-token"
  | "gcp-key"
  | "admin-token"
  | "proxy-password"
  | "signing-key"
  | "age-identity"
  | "azure-key"
  | "azure-sas"
  | "azure-secret"
  | "kube-token"
  | "url"
  | "nonsense";

export interface Canary {
  /** For messages; no part of the value. */
  readonly name: string;
  readonly group: Group;
  readonly value: string;
}

export interface Leak {
  readonly canary: string;
  readonly form: string;
}

/** Whatever shows this many characters of a secret in a row shows too much of it. */
const WINDOW = 16;

/** A value of 32 characters that no other call has given; `strange`: with signs that JSON and URLs escape. */
export function newSecret(strange = false): string {
  const random = randomBytes(16).toString("hex");
  return strange ? `${random.slice(0, 15)}"/\\ ${random.slice(19)}` : random;
}

export class Canaries {
  readonly all: Canary[] = [];
  /** Each piece of WINDOW characters, of each form of each canary. */
  readonly #pieces = new Map<string, { readonly canary: Canary; readonly form: string }>();

  /** Gives the value back, so that it can be planted where it is declared. */
  plant(group: Group, name: string, value: string = newSecret()): string {
    const canary = { group, name, value };
    this.all.push(canary);
    for (const [form, text] of formsOf(value)) {
      for (const piece of piecesOf(text)) this.#pieces.set(piece, { canary, form });
    }
    return value;
  }

  /** What of canaries outside the groups `allowed` stands in `bytes`: each canary at most once. */
  find(bytes: Uint8Array | string, allowed: readonly Group[] = []): readonly Leak[] {
    const text = Buffer.from(bytes).toString("latin1");
    const found = new Map<Canary, Leak>();
    // Once as it stands, once without line ends, be they real or escaped: secrets may be wrapped.
    for (const seen of [text, text.replace(/\\r|\\n|\s+/g, "")]) {
      for (let at = 0; at + WINDOW <= seen.length; at += 1) {
        const hit = this.#pieces.get(seen.slice(at, at + WINDOW));
        if (hit === undefined || allowed.includes(hit.canary.group)) continue;
        if (!found.has(hit.canary)) {
          found.set(hit.canary, { canary: hit.canary.name, form: hit.form });
        }
      }
    }
    return [...found.values()];
  }
}

/** The ways in which a secret comes out without looking like itself. Each form has at least WINDOW characters. */
export function formsOf(value: string): readonly (readonly [form: string, text: string])[] {
  const bare = bodyOf(value);
  const bytes = Buffer.from(bare);
  const forms: (readonly [string, string])[] = [
    ["as it is", bare],
    ["escaped for JSON", JSON.stringify(bare).slice(1, -1)],
    ["escaped for JSON twice", JSON.stringify(JSON.stringify(bare)).slice(3, -3)],
    ["escaped for a URL", encodeURIComponent(bare)],
    ["escaped for a form", new URLSearchParams({ v: bare }).toString().slice(2)],
    ["escaped for XML", bare.replace(/[<>&"']/g, (sign) => `&#${sign.charCodeAt(0)};`)],
    ["reversed", [...bare].reverse().join("")],
    ["hex", bytes.toString("hex")],
    ["HEX", bytes.toString("hex").toUpperCase()],
  ];
  // Base64 of a longer text that holds the secret: it may begin at each of three places in a group.
  for (const before of [0, 1, 2]) {
    const padded = Buffer.concat([Buffer.alloc(before), bytes]);
    for (const alphabet of ["base64", "base64url"] as const) {
      // What depends on its neighbours is cut off at both ends.
      const text = padded.toString(alphabet).replaceAll("=", "");
      forms.push([`${alphabet}, shifted by ${before}`, text.slice(before === 0 ? 0 : 4, -2)]);
    }
  }
  return forms;
}

/** Of a private key in PEM those characters of its body that hold nothing but the private number; of anything else all. */
function bodyOf(value: string): string {
  if (!value.includes("-----BEGIN ")) return value;
  // What stands before it is the same for all keys of a kind, what follows may be the public key.
  const secret = Buffer.from(
    createPrivateKey(value).export({ format: "jwk" }).d ?? "",
    "base64url",
  );
  const body = value.replace(/-----[A-Z ]+-----/g, "").replace(/\s/g, "");
  const start = Buffer.from(body, "base64").indexOf(secret);
  return body.slice(Math.ceil((start * 4) / 3), Math.floor(((start + secret.length) * 4) / 3));
}

/** As they stand, and as they stand where white space is left out. */
function piecesOf(text: string): readonly string[] {
  return [text, text.replace(/\\r|\\n|\s+/g, "")].flatMap((form) =>
    Array.from({ length: Math.max(0, form.length - WINDOW + 1) }, (_, at) =>
      form.slice(at, at + WINDOW),
    ),
  );
}
