/** What `kong-fallback snapshots` is asked to do. */

export type SnapshotsRequest =
  | { readonly kind: "list"; readonly all: boolean; readonly allVersions: boolean }
  | { readonly kind: "show"; readonly which: string; readonly config: boolean }
  | { readonly kind: "diff"; readonly from: string; readonly to: string }
  | { readonly kind: "verify"; readonly allVersions: boolean; readonly deep: boolean }
  | {
      readonly kind: "restore";
      readonly id: string;
      readonly takeOver: boolean;
      readonly yes: boolean;
    }
  | { readonly kind: "prune"; readonly dryRun: boolean };
