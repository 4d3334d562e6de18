/** What a server says in its own words, as far as it may be repeated in a message or a log. */

/** Longer sentences are cut off. */
const MAX_CHARACTERS = 300;

/** From here on a server repeats what it was sent or keeps: JSON, a web page, escaped text, a key. */
const QUOTATION = /-----BEGIN|[{<\\]/;

/** Authorization, JSON web tokens, access tokens of Google, access key ids of AWS. */
const TOKEN =
  /\b(?:bearer|basic)\s+\S+|\beyJ[\w-]+\S*|\bya29\.\S+|\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b/gi;

/** Words of 16 characters that no language has: letters and digits mixed. Names of roles and buckets have `-`, `/` and `.` in between. */
const KEY_LIKE = /(?=[A-Za-z+=_]*\d)(?=[\d+=_]*[A-Za-z])[A-Za-z0-9+=_]{16,}/g;

/** Longer than a name is, and of all kinds of characters: base64. */
const BASE64_LIKE = /(?=[^\s]*[a-z])(?=[^\s]*[A-Z])(?=[^\s]*\d)[A-Za-z0-9+/=_-]{40,}/g;

const QUOTE = /"([^"]*)(?:"|$)/g;

/** A quotation that is short, or a name without digits, as `system:serviceaccount:kong:exporter`. */
const QUOTED_NAME = /^(?:[^"]{0,15}|[a-z:._@/-]{1,120})$/;

/**
 * One line of at most 300 characters, control characters replaced. A server may repeat what it was
 * sent: a session token, a signature, the config itself. So the sentence ends where it begins to
 * quote, and what looks like a key is `[redacted]`. It is a sieve: a password of ordinary words that
 * a server puts into a sentence of its own passes.
 */
export function hearsay(sentence: string): string {
  const [own = ""] = sentence.slice(0, 4 * MAX_CHARACTERS).split(QUOTATION, 1);
  return own
    .replace(TOKEN, "[redacted]")
    .replace(QUOTE, (all, quoted: string) => (QUOTED_NAME.test(quoted) ? all : '"[redacted]"'))
    .replace(BASE64_LIKE, "[redacted]")
    .replace(KEY_LIKE, "[redacted]")
    .replace(/\s+/g, " ")
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\ufffd")
    .trim()
    .slice(0, MAX_CHARACTERS);
}
