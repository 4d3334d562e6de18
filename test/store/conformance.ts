/** The promises of the Store port as one suite: every driver, fake and decorator passes it. */

import { describe } from "vitest";
import type { Store } from "../../src/store/port.ts";
import { describeChanges } from "./conformance/changes.ts";
import { describeConditions } from "./conformance/conditions.ts";
import { describeKeys } from "./conformance/keys.ts";
import { describeLifecycle } from "./conformance/lifecycle.ts";
import { describeListing } from "./conformance/listing.ts";
import { describeObjects } from "./conformance/objects.ts";

/**
 * What a real store may lack:
 * - `ifAbsent`, `ifVersion`: it ignores or refuses that precondition;
 * - `metadataInVersion`: a put of the same body with other metadata keeps the version (an ETag that is an MD5 of the body);
 * - `atomicReplace`: a reader may meet a broken or mixed object while it is overwritten;
 * - `backslash`: it takes a backslash in a key for something else;
 * - `folderDelete`: it fails to delete a missing key below which others lie (it keeps objects as files in folders).
 */
export type Promised =
  | "ifAbsent"
  | "ifVersion"
  | "metadataInVersion"
  | "atomicReplace"
  | "backslash"
  | "folderDelete";

export interface StoreUnderTest {
  /**
   * A store on an empty prefix that no earlier call gave out. `pageSize` is the number of objects
   * wanted per page of a listing; a driver that cannot be told ignores it.
   */
  open(options?: { readonly pageSize?: number }): Promise<Store>;
  /** A second, independent client on the prefix of the latest `open`. Absent: the same client plays both parts. */
  reopen?(): Promise<Store>;
  /** Promises this store cannot keep, each with the reason; their cases are reported as skipped with it. */
  readonly without?: Readonly<Partial<Record<Promised, string>>>;
  /** Strings that must occur in no URL and no error: passwords, keys. */
  readonly secrets?: readonly string[];
  /** Longest time for one case, milliseconds; 20000 if absent. */
  readonly timeoutMs?: number;
}

/** Registers the suite as `describe(name)`. Every case opens its own store and disposes it. */
export function storeConformance(name: string, store: StoreUnderTest): void {
  describe(name, { timeout: store.timeoutMs ?? 20_000 }, () => {
    describeObjects(store);
    describeKeys(store);
    describeChanges(store);
    describeConditions(store);
    describeListing(store);
    describeLifecycle(store);
  });
}
