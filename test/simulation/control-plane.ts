/** A control plane of one to three nodes: one order of changes, which each node hears of in its own time and stamps by its own clock. */

import { computeConfigHash } from "../../src/kong/config-hash.ts";
import type { ConfigUpdate } from "../../src/kong/reconfigure.ts";
import { updateOf, V391 } from "../fakes/config.ts";
import type { Schedule } from "./schedule.ts";
import { WallClock } from "./wall-clock.ts";

export interface Change {
  readonly name: string;
  /** Kong's, of the config that it led to. */
  readonly hash: string | undefined;
  readonly atMs: number;
}

export interface ControlPlaneNode {
  readonly clock: WallClock;
  newest: ConfigUpdate | undefined;
  /** Of the change behind it. */
  index: number;
  readonly watchers: Set<() => void>;
}

/** Among the hashes by part, which go with a config wherever it goes: tells which change it was made of. */
const CHANGE = "change";
/** Longest time a node takes to hear of a change: `db_update_frequency`. */
const MAX_LAG_MS = 5_000;
const MAX_SKEW_MS = 3_000;

export interface ControlPlaneOptions {
  /** See Variant. */
  readonly flickers: boolean;
  /** It does not say when it made a config. */
  readonly isUndated: boolean;
  /** Absent: it does not say whose config it is. */
  readonly clusterId?: string;
}

export class ControlPlane {
  readonly nodes: readonly ControlPlaneNode[];
  readonly changes: Change[] = [];
  /** How far its nodes may be apart about which config is the newest, milliseconds: 0 for a single one. */
  readonly spreadMs: number;
  readonly #isUndated: boolean;
  readonly #schedule: Schedule;
  readonly #flickers: boolean;
  readonly #clusterId: string | undefined;
  readonly #bad = new Set<string>();

  constructor(
    schedule: Schedule,
    nodes: number,
    { flickers, isUndated, clusterId }: ControlPlaneOptions,
  ) {
    this.#schedule = schedule;
    this.#flickers = flickers;
    this.#clusterId = clusterId;
    const skew = () => Math.round((schedule.random() * 2 - 1) * MAX_SKEW_MS);
    this.nodes = Array.from({ length: nodes }, () => ({
      clock: new WallClock(schedule, skew()),
      newest: undefined,
      index: -1,
      watchers: new Set<() => void>(),
    }));
    this.#isUndated = isUndated;
    this.spreadMs = nodes === 1 ? 0 : MAX_LAG_MS;
  }

  /** Of the newest that no gate refuses. */
  get newestHash(): string | undefined {
    return this.changes.findLast(({ hash }) => !this.isBad(hash))?.hash;
  }

  /** To a config that never was, or back to one of the last. */
  change(): Change {
    const { random } = this.#schedule;
    const before = this.changes.at(-2)?.name;
    if (this.#flickers && before !== undefined && random() < 0.9) return this.#changeTo(before);
    const recent = this.changes.slice(-4, -1).map(({ name }) => name);
    const back = recent[Math.floor(random() * 2 * recent.length)];
    const isBack = back !== undefined && back !== this.changes.at(-1)?.name;
    return isBack ? this.#changeTo(back) : this.changeToNew("good");
  }

  /** To a config that never was: "empty" is for the guard, "faulty" for the rehearsal. */
  changeToNew(kind: "good" | "empty" | "faulty"): Change {
    const prefix = kind === "good" ? "config" : kind;
    return this.#changeTo(`${prefix}-${this.changes.length}`);
  }

  /** Whether a gate must hold back the config with this hash. */
  isBad(hash: string | undefined): boolean {
    return hash !== undefined && this.#bad.has(hash);
  }

  /** Whether Kong would refuse it. */
  isFaulty(config: Uint8Array): boolean {
    return Buffer.from(config).includes('"faulty-');
  }

  #changeTo(name: string): Change {
    const { random, nowMs } = this.#schedule;
    const { configHash: hash } = configOf(name, this.#clusterId);
    if (hash !== undefined && !name.startsWith("config-")) this.#bad.add(hash);
    const change = { name, hash, atMs: nowMs };
    this.changes.push(change);
    for (const node of this.nodes) {
      if (this.nodes.length === 1) this.#publish(node);
      else {
        this.#schedule.plan(random() * MAX_LAG_MS, undefined, "message", () => this.#publish(node));
      }
    }
    return change;
  }

  /** Index of the change that a config with these hashes was made of; undefined for one that nobody made. */
  changeOf({
    configHash,
    hashes,
  }: Pick<ConfigUpdate, "configHash" | "hashes">): number | undefined {
    const index = Number.parseInt(hashes[CHANGE] ?? "", 16);
    return this.changes[index]?.hash === configHash ? index : undefined;
  }

  /** Index of the newest change to the config with this hash; -1 for none. */
  newestWith(hash: string | undefined): number {
    return this.changes.findLastIndex((change) => change.hash === hash);
  }

  #publish(node: ControlPlaneNode): void {
    const index = this.changes.length - 1;
    if (node.index === index) return;
    const name = this.changes[index]?.name ?? "";
    const { hashes, ...update } = configOf(name, this.#clusterId);
    const timestamp = this.#isUndated ? undefined : node.clock.nowMs / 1000;
    node.newest = {
      ...update,
      timestamp,
      hashes: { ...hashes, [CHANGE]: index.toString(16).padStart(32, "0") },
    };
    node.index = index;
    for (const watch of [...node.watchers]) watch();
  }
}

/** An empty one has no services any more. */
function configOf(name: string, clusterId: string | undefined): ConfigUpdate {
  const update = updateOf(name, undefined, clusterId);
  if (!name.startsWith("empty-")) return update;
  const text = { _format_version: "3.0", _transform: false, upstreams: [{ name }] };
  const configTable = Buffer.from(JSON.stringify(text));
  const configHash = computeConfigHash(configTable, V391);
  return { ...update, configTable, configHash, hashes: { config: configHash } };
}
