/** What the keeper of a DB-less Kong knows of it, for the status page. */

/**
 * - `unreachable`: nothing answers: Kong is starting, stopping or gone.
 * - `waiting`: it has no config, or does not say which, and whoever looks after it has time to fill it.
 * - `empty`: it has no config; there is no snapshot, or Kong has not taken it yet.
 * - `ours`: it has a config of ours, if not yet the newest.
 * - `foreign`: it has a config that somebody else loaded.
 * - `refused`: it does not take the newest snapshot; `hash` is that of an older one of ours, if it has one.
 *
 * `hash` is Kong's `configuration_hash`.
 */
export type DblessFinding =
  | { readonly kind: "unreachable" | "waiting" | "empty" }
  | { readonly kind: "ours" | "foreign"; readonly hash: string }
  | { readonly kind: "refused"; readonly hash: string | undefined };

/** `since`: when this was found first, and nothing else since then. */
export type DblessState = DblessFinding & { readonly since: Date };

/** Whether both say the same: kind and hash. */
export function isSameFinding(a: DblessFinding, b: DblessFinding): boolean {
  return a.kind === b.kind && hashOf(a) === hashOf(b);
}

function hashOf(finding: DblessFinding): string | undefined {
  return "hash" in finding ? finding.hash : undefined;
}
