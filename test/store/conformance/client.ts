/** How the suite talks to a store: short calls, and assertions that show what matters. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { it } from "vitest";
import type {
  Key,
  ListedObject,
  Metadata,
  ObjectHead,
  ObjectInfo,
  Precondition,
  Store,
  StoredObject,
  StoreErrorCode,
  Version,
} from "../../../src/store/port.ts";
import { StoreError } from "../../../src/store/port.ts";
import type { Promised, StoreUnderTest } from "../conformance.ts";

export const never: AbortSignal = new AbortController().signal;

/** Larger than every body of the suite. */
export const MAX_BYTES = 16 * 1024 * 1024;

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function sha256(body: Uint8Array): string {
  return createHash("sha256").update(body).digest("hex");
}

export function put(
  store: Store,
  key: Key,
  body: Uint8Array | string,
  metadata: Metadata = {},
  when?: Precondition,
  signal: AbortSignal = never,
): Promise<ObjectInfo> {
  return store.put(
    key,
    typeof body === "string" ? bytes(body) : body,
    { metadata, contentType: "application/json", ...(when === undefined ? {} : { when }) },
    signal,
  );
}

export function get(store: Store, key: Key): Promise<StoredObject> {
  return store.get(key, { maxBytes: MAX_BYTES }, never);
}

/** An object without its body, in a form that can be compared. */
export function headOf({ key, version, bytes, metadata }: ObjectHead): ObjectHead {
  return { key, version, bytes, metadata: { ...metadata } };
}

export function getIfChanged(
  store: Store,
  key: Key,
  than: Version,
): Promise<StoredObject | undefined> {
  return store.getIfChanged(key, than, { maxBytes: MAX_BYTES }, never);
}

export async function text(store: Store, key: Key): Promise<string> {
  return new TextDecoder().decode((await get(store, key)).body);
}

export async function list(store: Store, prefix: Key | ""): Promise<ListedObject[]> {
  const found: ListedObject[] = [];
  for await (const info of store.list(prefix, never)) found.push(info);
  return found;
}

export async function keys(store: Store, prefix: Key | ""): Promise<string[]> {
  return (await list(store, prefix)).map((info) => info.key);
}

/** Compares digests: a failed comparison of 5 MiB must not print them. */
export function sameBytes(actual: Uint8Array, expected: Uint8Array): void {
  assert.equal(actual.byteLength, expected.byteLength, "length of the body");
  assert.equal(sha256(actual), sha256(expected), "sha256 of the body");
}

/** Resolves with the error when `promise` rejects with a StoreError of this code; fails otherwise. */
export async function failsWith(
  code: StoreErrorCode,
  promise: Promise<unknown>,
): Promise<StoreError> {
  const outcome = await promise.then(
    () => "it succeeded",
    (error: unknown) => error,
  );
  if (outcome instanceof StoreError) {
    assert.equal(outcome.code, code, outcome.message);
    return outcome;
  }
  throw new assert.AssertionError({
    message: `expected StoreError ${code}`,
    actual: outcome,
    expected: code,
    operator: "failsWith",
  });
}

/** Resolves when `promise` rejects with exactly `reason`: not a copy, not a wrapper. */
export async function rejectsWith(reason: unknown, promise: Promise<unknown>): Promise<void> {
  const outcome = await promise.then(
    () => "it succeeded",
    (error: unknown) => error,
  );
  assert.equal(outcome, reason);
}

/** Of several writes at once: exactly one resolves, all others reject with STORE_PRECONDITION_FAILED. Returns the winner's place. */
export async function onlyWinner(writes: readonly Promise<ObjectInfo>[]): Promise<number> {
  const outcomes = await Promise.allSettled(writes);
  const winners = outcomes.flatMap(({ status }, place) => (status === "fulfilled" ? [place] : []));
  for (const outcome of outcomes) {
    if (outcome.status === "fulfilled") continue;
    await failsWith("STORE_PRECONDITION_FAILED", Promise.reject(outcome.reason));
  }
  const [winner] = winners;
  assert.ok(
    winner !== undefined && winners.length === 1,
    `${winners.length} of ${writes.length} won`,
  );
  return winner;
}

/** The same prefix through a second client, where the store under test has one. */
export async function secondClient(under: StoreUnderTest, first: Store): Promise<Store> {
  return under.reopen === undefined ? first : under.reopen();
}

/** A case about a promise a store may lack: skipped with the reason it gave. */
export function promised(
  under: StoreUnderTest,
  promise: Promised,
  sentence: string,
  run: () => Promise<void>,
): void {
  const reason = under.without?.[promise];
  if (reason === undefined) it(sentence, run);
  else it.skip(`${sentence} (not promised here: ${reason})`, run);
}
