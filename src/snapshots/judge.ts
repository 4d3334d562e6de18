/** What is to be done with a config, given what lies in the store: write it, leave it at that, or refuse. */

import type { Version } from "../store/port.ts";
import type { Known } from "./current.ts";
import { isSameConfig } from "./newest.ts";
import type { SnapshotMetadata } from "./snapshot.ts";
import { type Refusal, refusal } from "./succession.ts";

/** What lies there may not be replaced. `stored` is undefined where all but its token is damaged. */
export interface Stale {
  readonly kind: "stale";
  readonly refusal: Refusal;
  readonly stored: SnapshotMetadata | undefined;
}

export type Verdict =
  /** With these metadata. */
  | { readonly kind: "write"; readonly metadata: SnapshotMetadata }
  | { readonly kind: "unchanged" }
  | Stale;

/**
 * `inDoubt`: see isSettled; `now`: see refusal. A config that lies there already is written again once
 * it was rehearsed, and stays rehearsed whoever writes it again.
 */
export function judge(
  fresh: SnapshotMetadata,
  known: Known,
  inDoubt: Version | undefined,
  now: Date,
): Verdict {
  if (known.kind === "absent") return { kind: "write", metadata: fresh };
  const { metadata: stored, fencingToken } = known;
  // The token counts though the config it came with is damaged.
  if (fencingToken > fresh.fencingToken) {
    const rule = { rule: "token", stored: fencingToken, fresh: fresh.fencingToken } as const;
    return { kind: "stale", refusal: rule, stored };
  }
  if (stored === undefined) return { kind: "write", metadata: fresh };
  const isSame = isSameConfig(stored, fresh);
  const isNews = fresh.rehearsed === true && stored.rehearsed !== true;
  if (isSame && !isNews && isSettled(known, fresh.fencingToken, inDoubt)) {
    return { kind: "unchanged" };
  }
  const refused = refusal(fresh, stored, now);
  if (!isSame) {
    return refused === undefined
      ? { kind: "write", metadata: fresh }
      : { kind: "stale", refusal: refused, stored };
  }
  const metadata = { ...fresh, rehearsed: stored.rehearsed === true || fresh.rehearsed };
  if (refused === undefined) return { kind: "write", metadata };
  // It is no older config: it came by a control plane whose clock is behind.
  return { kind: "write", metadata: { ...metadata, controlPlaneTimestamp: refused.stored } };
}

/**
 * Whether what lies there stays until this writer replaces it. Not if it was written under a lower
 * token, for a write of that exporter may still be on its way; nor if it has the version `inDoubt`,
 * which a write of our own was to replace that seemed to fail; nor if the keys to seal it changed.
 */
export function isSettled(
  known: Known,
  fencingToken: number,
  inDoubt: Version | undefined,
): boolean {
  return (
    known.kind === "present" &&
    known.isSealedAsNow &&
    known.fencingToken === fencingToken &&
    (inDoubt === undefined || known.version !== inDoubt)
  );
}
