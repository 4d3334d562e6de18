/** `snapshots verify`: reads every object and checks what can be checked, before it is needed. */

import { ServiceError } from "../../core/errors.ts";
import { matchConfigHash } from "../../kong/config-hash.ts";
import type { Snapshot } from "../../snapshots/snapshot.ts";
import { StoreError } from "../../store/port.ts";
import { print, printJson } from "../print.ts";
import { formatTable } from "../table.ts";
import { CURRENT } from "./find.ts";
import { type Readable, tryRead } from "./listing.ts";
import { type ActionContext, type Place, placeName, readCurrent } from "./place.ts";

interface Finding {
  readonly kongVersion: string;
  readonly store: string;
  /** `current`, or an id; undefined: the place as a whole. */
  readonly object: string | undefined;
  /** "unchecked": good, as far as can be told without metadata. "unread": the store does not give it. */
  readonly result: "good" | "unchecked" | "bad" | "unread";
  readonly code: string | undefined;
  readonly why: string | undefined;
}

/** Resolves to 0; to 3 where anything is bad, else to 4 where anything could not be read. */
export async function verifyCommand(
  { places, settings, stdout, json }: ActionContext,
  signal: AbortSignal,
): Promise<number> {
  const findings: Finding[] = [];
  for (const place of places) {
    for await (const finding of verifyPlace(place, settings.hashCheckMaxBytes, signal)) {
      findings.push(finding);
    }
  }
  if (json) await printJson(stdout, findings, signal);
  else await print(stdout, report(places, findings), signal);
  if (findings.some(({ result }) => result === "bad")) return 3;
  return findings.some(({ result }) => result === "unread") ? 4 : 0;
}

async function* verifyPlace(
  place: Place,
  hashCheckMaxBytes: number,
  signal: AbortSignal,
): AsyncGenerator<Finding> {
  const { version, store, archive } = place;
  const finding = (object: string | undefined, read: Readable<Snapshot>): Finding => ({
    kongVersion: version,
    store: store.url,
    object,
    ...judge(read, hashCheckMaxBytes),
  });
  let ids: readonly string[];
  try {
    ids = (await archive.history.list(signal)).map(({ id }) => id);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ServiceError)) throw error;
    yield finding(undefined, { kind: "bad", error });
    return;
  }
  yield finding(CURRENT, await tryRead(() => readCurrent(place, signal), signal));
  for (const id of ids) {
    const read = await tryRead(() => archive.history.read(id, signal), signal);
    // An exporter may have pruned it since it was listed.
    const isGone = read.kind === "bad" && read.error.code === "SNAPSHOT_MISSING";
    if (!isGone) yield finding(id, read);
  }
}

function judge(
  read: Readable<Snapshot>,
  hashCheckMaxBytes: number,
): Pick<Finding, "result" | "code" | "why"> {
  if (read.kind === "bad") {
    const { code, message } = read.error;
    const isUnread = read.error instanceof StoreError && code !== "STORE_TOO_LARGE";
    return { result: isUnread ? "unread" : "bad", code, why: message };
  }
  const { config, metadata } = read.snapshot;
  if (metadata === undefined) {
    const why = "no metadata: only its form could be checked";
    return { result: "unchecked", code: undefined, why };
  }
  const { configHash, hashMatch, kongVersion } = metadata;
  const match = matchConfigHash(config, configHash, kongVersion, hashCheckMaxBytes);
  if (hashMatch === "true" && match === "false") {
    const why = "Kong's hash was right when it was saved, and is not the one of these bytes";
    return { result: "bad", code: "SNAPSHOT_CORRUPT", why };
  }
  return { result: "good", code: undefined, why: undefined };
}

function report(places: readonly Place[], findings: readonly Finding[]): string {
  const texts = places.map((place) => {
    const own = findings.filter(
      ({ kongVersion, store }) => kongVersion === place.version && store === place.store.url,
    );
    const rows = own.map(({ object, result, why }) => ({
      cells: [object ?? "history", result],
      notes: why === undefined ? [] : [why],
    }));
    return `${placeName(place)}\n${formatTable([{ title: "OBJECT" }, { title: "RESULT" }], rows)}`;
  });
  const bad = findings.filter(({ result }) => result === "bad").length;
  const unread = findings.filter(({ result }) => result === "unread").length;
  return `${texts.join("\n")}\n${findings.length} checked, ${bad} bad, ${unread} not read\n`;
}
