/** The rules by which configs are ordered: each decides in some world, and where one is broken, a world shows it. */

import assert from "node:assert/strict";
import { gunzipSync, gzipSync } from "node:zlib";
import { beforeEach, describe, it, vi } from "vitest";
import type { Known } from "../../src/snapshots/current.ts";
import type { SnapshotMetadata } from "../../src/snapshots/snapshot.ts";
import { quickSeals } from "../fakes/quick-seals.ts";
import { firstBroken, liveThrough, type ManyOptions, seedsFrom } from "./many.ts";

type Rules = typeof import("../../src/snapshots/order.ts");
type Judge = Pick<Rules, "decideSave" | "isNewer" | "isOfAnotherCluster" | "stampedAfter">;

/** The rules as they are, and what stands in their place. */
const held = vi.hoisted(() => ({
  sound: undefined as Rules | undefined,
  judge: undefined as Judge | undefined,
}));

// The thread pool that packs has its own time; what comes out is the same.
vi.mock("../../src/snapshots/history-body.ts", async (original) => ({
  ...(await original<object>()),
  packConfig: async (config: Uint8Array) => gzipSync(config),
  unpackConfig: async (body: Uint8Array) => gunzipSync(body),
}));
vi.mock("../../src/snapshots/order.ts", async (original) => {
  const sound = await original<Rules>();
  held.sound = sound;
  const judge = (): Judge => held.judge ?? sound;
  const inTheirPlace: Rules = {
    ...sound,
    decideSave: (...args) => judge().decideSave(...args),
    isNewer: (...args) => judge().isNewer(...args),
    stampedAfter: (...args) => judge().stampedAfter(...args),
    isOfAnotherCluster: (...args) => judge().isOfAnotherCluster(...args),
    // All that is saved in these worlds is for one version.
    isBetter: (_, ...both) => judge().isNewer(...both),
  };
  return inTheirPlace;
});

function sound(): Rules {
  assert.ok(held.sound);
  return held.sound;
}

beforeEach(() => {
  held.judge = undefined;
});

const OPERATOR = { variant: { hasOperator: true } };
const SUSPENDED = { variant: { suspends: true } };
const STRANGER = { variant: { hasStranger: true } };
const HOSTILE = {
  variant: { seals: quickSeals(), gates: { guard: true, rehearsal: true }, isHostile: true },
};

/** What each decision was made by. */
async function decided(): Promise<ReadonlySet<string>> {
  const rules = new Set<string>();
  held.judge = {
    stampedAfter: sound().stampedAfter,
    isOfAnotherCluster: (...args) => {
      const isForeign = sound().isOfAnotherCluster(...args);
      if (isForeign) rules.add("foreign");
      return isForeign;
    },
    decideSave: (...args) => {
      const decision = sound().decideSave(...args);
      rules.add(decision.kind === "write" ? decision.rule : decision.kind);
      return decision;
    },
    isNewer: (a, b) => {
      const isNewer = sound().isNewer(a, b);
      const byTime = sound().isNewer(withoutToken(a), withoutToken(b));
      rules.add(isNewer === byTime ? "reader: time" : "reader: token");
      return isNewer;
    },
  };
  await liveThrough(seedsFrom(1, 1, 100));
  await liveThrough(seedsFrom(1, 1, 60), OPERATOR);
  await liveThrough(seedsFrom(1, 1, 60), SUSPENDED);
  await liveThrough(seedsFrom(1, 1, 60), HOSTILE);
  await liveThrough(seedsFrom(1, 1, 20), STRANGER);
  return rules;
}

function withoutToken(metadata: SnapshotMetadata): SnapshotMetadata {
  return { ...metadata, fencingToken: 0 };
}

/** As a writer sees it that compares no tokens. */
function underToken(known: Known, token: number): Known {
  if (known.kind === "absent") return known;
  return { ...known, fencingToken: Math.min(known.fencingToken, token) };
}

interface Broken {
  readonly name: string;
  readonly judge: (sound: Rules) => Partial<Judge>;
  readonly where?: ManyOptions;
  /** How many worlds are looked through; by default a few hundred. */
  readonly seeds?: number;
  readonly shows: RegExp;
}

const BROKEN: readonly Broken[] = [
  {
    name: "a writer that never refuses",
    judge: () => ({ decideSave: (metadata) => ({ kind: "write", rule: "free", metadata }) }),
    shows: /token \d+ after \d+|config of change \d+ after/,
  },
  {
    name: "a writer that compares no tokens",
    judge: ({ decideSave }) => ({
      decideSave: (fresh, known, ...rest) =>
        decideSave(fresh, underToken(known, fresh.fencingToken), ...rest),
    }),
    where: SUSPENDED,
    shows: /^token \d+ after \d+/,
  },
  {
    name: "a reader that compares no tokens",
    judge: ({ isNewer }) => ({ isNewer: (a, b) => isNewer(withoutToken(a), withoutToken(b)) }),
    where: HOSTILE,
    shows: /reader does not have the newest config/,
  },
  {
    name: "a reader that goes by when configs were taken, not by when they were made",
    judge: ({ isNewer }) => ({
      isNewer: (a, b) =>
        isNewer(
          { ...a, controlPlaneTimestamp: undefined },
          { ...b, controlPlaneTimestamp: undefined },
        ),
    }),
    shows: /reader does not have the newest config|a reader that had change \d+ took change/,
  },
  {
    name: "a writer that goes by the control plane's clock",
    judge: ({ decideSave }) => ({
      decideSave: (fresh, known, _, own) => {
        const stored = known.kind === "present" ? known.metadata : undefined;
        const isLater = (fresh.controlPlaneTimestamp ?? 0) >= (stored?.controlPlaneTimestamp ?? 0);
        const asOfMs = isLater ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
        return decideSave(fresh, known, { asOfMs, follows: () => false }, own);
      },
    }),
    shows: /the newest config is not the current one|config of change \d+ after/,
  },
  {
    name: "timestamps that are left as the control plane's clock made them",
    judge: ({ decideSave }) => ({
      decideSave: (fresh, ...rest) => {
        const decision = decideSave(fresh, ...rest);
        return decision.kind === "write" ? { ...decision, metadata: fresh } : decision;
      },
      stampedAfter: (fresh) => fresh,
    }),
    shows: /reader does not have the newest config|a reader that had change \d+ took change/,
  },
  {
    name: "a control plane that is not asked anew",
    judge: ({ decideSave }) => ({
      decideSave: (fresh, known, { follows }, own) =>
        decideSave(fresh, known, { follows, asOfMs: Number.NEGATIVE_INFINITY }, own),
    }),
    shows: /the newest config is not the current one/,
  },
  {
    name: "a control plane that is asked before its nodes agree",
    judge: ({ decideSave }) => ({
      decideSave: (fresh, known, ...rest) => {
        const seen = { seenAtMs: Number.NEGATIVE_INFINITY };
        return decideSave(fresh, known.kind === "absent" ? known : { ...known, ...seen }, ...rest);
      },
    }),
    shows: /config of change \d+ after/,
  },
  {
    name: "a config that counts as newer than whatever lies there",
    judge: ({ decideSave }) => ({
      decideSave: (fresh, known, { asOfMs }, own) =>
        decideSave(fresh, known, { asOfMs, follows: () => true }, own),
    }),
    shows: /config of change \d+ after/,
  },
  {
    name: "a write that is never in doubt",
    judge: ({ decideSave }) => ({
      decideSave: (fresh, known, provenance, own) =>
        decideSave(fresh, known, provenance, { ...own, inDoubt: undefined }),
    }),
    where: { variant: { flickers: true, isNeglected: true } },
    seeds: 2_000,
    shows: /the newest config is not the current one/,
  },
  {
    name: "what lies there already and is not written under a new token",
    judge: ({ decideSave }) => ({
      decideSave: (...args) => {
        const decision = decideSave(...args);
        const isSame = decision.kind === "write" && decision.rule === "same";
        return isSame ? { kind: "unchanged" } : decision;
      },
    }),
    shows: /the current config is not under the holder's token/,
  },
  {
    name: "a config that may replace another cluster's",
    judge: ({ decideSave }) => ({
      isOfAnotherCluster: () => false,
      decideSave: (fresh, known, ...rest) => {
        const stored = known.kind === "present" ? known.metadata : undefined;
        if (known.kind === "absent" || stored === undefined) {
          return decideSave(fresh, known, ...rest);
        }
        const { clusterId } = fresh;
        return decideSave(fresh, { ...known, metadata: { ...stored, clusterId } }, ...rest);
      },
    }),
    where: STRANGER,
    shows: /config that nobody made|nobody/,
  },
  {
    name: "an operator's word that does not count",
    judge: ({ decideSave }) => ({
      decideSave: (fresh, known, ...rest) => {
        const stored = known.kind === "present" ? known.metadata : undefined;
        if (known.kind === "absent" || stored === undefined) {
          return decideSave(fresh, known, ...rest);
        }
        const metadata = { ...stored, exporterId: "an exporter" };
        return decideSave(fresh, { ...known, metadata }, ...rest);
      },
    }),
    where: OPERATOR,
    shows: /an exporter put back what an operator had replaced/,
  },
];

describe("the rules by which configs are ordered", () => {
  it("decide each in some world", { timeout: 120_000 }, async () => {
    const writers = ["free", "same", "own", "confirmed", "followed"];
    const refusals = ["unchanged", "stale", "unconfirmed", "foreign", "overruled"];
    const readers = ["reader: time", "reader: token"];
    assert.deepEqual([...(await decided())].sort(), [...writers, ...refusals, ...readers].sort());
  });

  it.each(BROKEN)("$name: a world shows it", { timeout: 300_000 }, async (broken) => {
    held.judge = { ...sound(), ...broken.judge(sound()) };
    const found = await firstBroken(broken.shows, broken.where, broken.seeds);
    assert.ok(found, "nothing was found");
    process.stderr.write(`${broken.name}: ${found}\n`);
  });
});
