/** `snapshots verify`: reads every object and checks what can be checked, before it is needed. */

import { ServiceError } from "../../core/errors.ts";
import { checkConfig } from "../../kong/checks/check-config.ts";
import type { ConfigFinding } from "../../kong/checks/finding.ts";
import { matchConfigHash } from "../../kong/config-hash.ts";
import type { Snapshot } from "../../snapshots/snapshot.ts";
import { StoreError } from "../../store/port.ts";
import { print, printJson } from "../print.ts";
import { formatTable } from "../table.ts";
import { CURRENT } from "./find.ts";
import { type Readable, tryRead } from "./listing.ts";
import { type ActionContext, type Place, placeName, readCurrent } from "./place.ts";
import { reasonOf } from "./reason.ts";
import type { SnapshotsRequest } from "./request.ts";

interface Finding {
  readonly kongVersion: string;
  readonly store: string;
  /** `current`, or an id; undefined: the place as a whole. */
  readonly object: string | undefined;
  /**
   * "unchecked": good, as far as can be told without metadata. "unread": the store does not give it, or
   * none of our keys opens it. "warned": the bytes are good, and Kong may refuse what they say.
   */
  readonly result: "good" | "unchecked" | "warned" | "bad" | "unread";
  readonly code: string | undefined;
  readonly why: string | undefined;
  /** What was found in the config; undefined where nothing was looked for. */
  readonly config: readonly ConfigFinding[] | undefined;
}

/** How much of a config is looked at. */
interface Depth {
  readonly hashCheckMaxBytes: number;
  readonly deep: boolean;
  /** KONG_PLUGINS, as written. */
  readonly plugins: readonly string[];
}

/** Notes below one object; `--json` has them all. */
const MAX_SHOWN = 20;

/** Resolves to 0, whatever `deep` finds; to 3 where anything is bad, else to 4 where anything could not be read. */
export async function verifyCommand(
  { deep }: Extract<SnapshotsRequest, { kind: "verify" }>,
  { places, settings, stdout, json }: ActionContext,
  signal: AbortSignal,
): Promise<number> {
  const { hashCheckMaxBytes, plugins } = settings;
  const depth: Depth = { hashCheckMaxBytes, deep, plugins };
  const findings: Finding[] = [];
  for (const place of places) {
    for await (const finding of verifyPlace(place, depth, signal)) {
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
  depth: Depth,
  signal: AbortSignal,
): AsyncGenerator<Finding> {
  const { version, store, archive } = place;
  const finding = (object: string | undefined, read: Readable<Snapshot>): Finding => ({
    kongVersion: version,
    store: store.url,
    object,
    ...judge(read, place, object, depth),
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

type Judgement = Pick<Finding, "result" | "code" | "why" | "config">;

function judge(
  read: Readable<Snapshot>,
  place: Place,
  object: string | undefined,
  { hashCheckMaxBytes, deep, plugins }: Depth,
): Judgement {
  if (read.kind === "bad") {
    const { code } = read.error;
    const why = reasonOf(read.error, place, object ?? CURRENT);
    const isUnread =
      code === "SNAPSHOT_SEALED" ||
      (read.error instanceof StoreError && code !== "STORE_TOO_LARGE");
    return { result: isUnread ? "unread" : "bad", code, why, config: undefined };
  }
  const { config } = read.snapshot;
  const judgement = judgeBytes(read.snapshot, hashCheckMaxBytes);
  if (!deep || judgement.result === "bad") return { ...judgement, config: undefined };
  const found = checkConfig(config, place.version, { plugins });
  return { ...judgement, ...(found.length > 0 ? { result: "warned" } : {}), config: found };
}

function judgeBytes(
  { config, metadata }: Snapshot,
  hashCheckMaxBytes: number,
): Omit<Judgement, "config"> {
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

function notesOf({ why, config = [] }: Finding): readonly string[] {
  const shown = config.slice(0, MAX_SHOWN).map(({ message }) => message);
  const more = config.length - shown.length;
  return [
    ...(why === undefined ? [] : [why]),
    ...shown,
    ...(more === 0 ? [] : [`and ${more} more, all of them with --json`]),
  ];
}

function report(places: readonly Place[], findings: readonly Finding[]): string {
  const texts = places.map((place) => {
    const own = findings.filter(
      ({ kongVersion, store }) => kongVersion === place.version && store === place.store.url,
    );
    const rows = own.map((finding) => ({
      cells: [finding.object ?? "history", finding.result],
      notes: notesOf(finding),
    }));
    return `${placeName(place)}\n${formatTable([{ title: "OBJECT" }, { title: "RESULT" }], rows)}`;
  });
  const bad = findings.filter(({ result }) => result === "bad").length;
  const unread = findings.filter(({ result }) => result === "unread").length;
  const warned = findings.filter(({ result }) => result === "warned").length;
  const counts = [
    `${findings.length} checked`,
    `${bad} bad`,
    ...(warned === 0 ? [] : [`${warned} with warnings`]),
    `${unread} not read`,
  ];
  return `${texts.join("\n")}\n${counts.join(", ")}\n`;
}
