/** A world's life: faults for some minutes, then calm, and a judgement at the end of it. */

import { ATTACKS, attack } from "./adversary.ts";
import type { ExporterProcess } from "./exporter-process.ts";
import type { StorePath } from "./store-path.ts";
import type { Variant } from "./variant.ts";
import { Violation } from "./violation.ts";
import { World, type WorldOptions } from "./world.ts";

/**
 * Once nothing goes wrong any more, and no delayed write is on its way, the newest config is current
 * within this time: a request that hangs (10 s), a lease that expires and is found so (15 s + 7 s),
 * the way back to the control plane (10 s + 5 s), the back-off (5 s) and the export delay (2 s).
 */
export const SETTLE_MS = 60_000;

const LOOK_MS = 10_000;

/** Of an exporter from the control plane; longer ones are in cut-off.test.ts. */
const MAX_SOURCE_CUT_MS = 100_000;

export interface Life {
  readonly events: number;
  readonly faults: ReadonlyMap<string, number>;
  readonly nodesApart: number;
  readonly unheardReturns: number;
  readonly misled: number;
  readonly trace: readonly string[];
  /** What was broken; undefined if nothing was. */
  readonly broken: unknown;
}

export async function live(options: WorldOptions): Promise<Life> {
  using world = new World(options);
  const { faults, schedule, sites, trace, watcher } = world;
  let broken: unknown;
  try {
    await suffer(world);
    await recover(world);
  } catch (error) {
    broken = error;
  }
  const sum = (of: "nodesApart" | "unheardReturns") =>
    sites.reduce((total, { checker }) => total + checker[of], 0);
  return {
    events: schedule.happened,
    faults: faults.counts,
    nodesApart: sum("nodesApart"),
    unheardReturns: sum("unheardReturns"),
    misled: watcher.misled,
    trace,
    broken,
  };
}

async function suffer(world: World): Promise<void> {
  const count = 2 + Math.floor(world.random() * 4);
  world.change();
  for (let place = 0; place < count; place += 1) {
    world.start(place);
    await world.pass(world.between(0, 3_000));
  }
  const everyMs = world.between(1_000, 15_000);
  const changeMs = world.between(2_000, 20_000);
  const endMs = world.schedule.nowMs + world.between(60_000, 150_000);
  let nextChangeMs = world.schedule.nowMs;
  let nextFaultMs = world.schedule.nowMs;
  for (;;) {
    const nextMs = Math.min(nextChangeMs, nextFaultMs);
    if (nextMs > endMs) return;
    await world.pass(nextMs - world.schedule.nowMs);
    if (nextChangeMs <= nextFaultMs) {
      world.change();
      nextChangeMs += world.between(0, 2 * changeMs);
    } else {
      await injure(world);
      nextFaultMs += world.between(0, 2 * everyMs);
    }
  }
}

const INJURIES = [
  ...["pause", "pause", "kill", "SIGTERM"],
  ...["store partition", "control plane partition", "control plane session lost"],
] as const;
const OF_LEASES = ["lease partition"] as const;
const OF_SEVERAL = ["store outage", "reader partition"] as const;
const OF_GATES = ["rehearsal away"] as const;
const OF_HOSTILE = ["attack", "attack", "attack"] as const;

type Injury = (
  | typeof INJURIES
  | typeof OF_LEASES
  | typeof OF_SEVERAL
  | typeof OF_GATES
  | typeof OF_HOSTILE
)[number];

/** What befalls exporters, in a world with this variant and so many stores. */
function injuriesOf({ election, gates, isHostile }: Variant, stores: number): readonly Injury[] {
  return [
    ...INJURIES,
    ...(election === undefined ? [] : OF_LEASES),
    ...(stores === 1 ? [] : OF_SEVERAL),
    ...(gates === undefined ? [] : OF_GATES),
    ...(isHostile ? OF_HOSTILE : []),
  ];
}

/** Kinds of faults there are in such a world: the injuries, three of a read, five of a write. */
export function faultKinds(variant: Variant, stores: number): number {
  const kinds = new Set(injuriesOf(variant, stores));
  const attacks = kinds.delete("attack")
    ? ATTACKS.length - (variant.gates === undefined ? 1 : 0)
    : 0;
  return kinds.size + attacks + 8;
}

async function injure(world: World): Promise<void> {
  const { exporters, faults, random, schedule, sites, variant, watcherPaths } = world;
  const place = Math.floor(random() * exporters.length);
  const victim = exporters[place];
  const kinds = injuriesOf(variant, sites.length);
  const kind = kinds[Math.floor(random() * kinds.length)] ?? "pause";
  if (victim === undefined || !victim.isRunning || victim.isStopping) return;
  const { machine, source, kong } = victim;
  const later = (ms: number, run: () => void) => {
    schedule.plan(ms, undefined, "message", () => {
      // At the end of the faults it was mended already.
      if (faults.isOn) run();
    });
  };
  const how = random() < 0.5 ? "refused" : "silent";
  const index = Math.floor(random() * sites.length);
  const seat = victim.seats[index];
  const cut = (path: StorePath | undefined, ms: number) => {
    if (path === undefined) return;
    path.cut = how;
    later(ms, () => {
      path.cut = undefined;
    });
  };
  if (kind === "attack") {
    const done = await attack(world);
    if (done === undefined) return;
    world.note(() => `adversary: ${done}`);
    faults.count(done);
    return;
  }
  world.note(() => `${machine.name}: ${kind}`);
  faults.count(kind);
  switch (kind) {
    case "pause":
      machine.pause(world.between(500, 45_000));
      return;
    case "kill":
      machine.isDead = true;
      later(world.between(100, 40_000), () => comeBack(world, place, victim));
      return;
    case "SIGTERM":
      schedule.plan(0, machine, "message", () => victim.terminate());
      later(world.between(15_000, 40_000), () => comeBack(world, place, victim));
      return;
    case "store partition":
      cut(seat?.path, world.between(1_000, 60_000));
      return;
    case "lease partition":
      cut(seat?.leasePath, world.between(1_000, 60_000));
      return;
    case "store outage": {
      const ms = world.between(1_000, 60_000);
      cut(watcherPaths[index], ms);
      for (const { seats } of exporters) cut(seats[index]?.path, ms);
      return;
    }
    case "reader partition":
      cut(watcherPaths[index], world.between(1_000, 60_000));
      return;
    case "rehearsal away":
      kong.isAway = true;
      later(world.between(1_000, 60_000), () => {
        kong.isAway = false;
      });
      return;
    case "control plane partition":
      source.cut(how);
      later(world.between(1_000, MAX_SOURCE_CUT_MS), () => source.mend());
      return;
    case "control plane session lost":
      source.lose();
      return;
    default:
      kind satisfies never;
  }
}

/** Nothing new goes wrong, partitions end at once, pauses in their time, and whoever is gone comes back. */
async function recover(world: World): Promise<void> {
  const { controlPlane, exporters, faults, schedule, variant } = world;
  faults.isOn = false;
  world.note(() => "no more faults");
  for (const process of exporters) process.mend();
  for (const path of world.watcherPaths) path.cut = undefined;
  const pausedUntilMs = Math.max(...exporters.map(({ machine }) => machine.pausedUntilMs));
  await world.pass(Math.max(0, pausedUntilMs - schedule.nowMs));
  // Who was told to stop may take its time to do so.
  await world.pass(15_000);
  for (const [place, process] of exporters.entries()) {
    if (!process.isRunning || process.isStopping) comeBack(world, place, process);
  }
  await world.pass(Math.max(0, faults.lastArrivalMs - schedule.nowMs));
  if (controlPlane.nodes.length > 1) {
    // A change that each node stamps later than all before: an earlier one may have been refused.
    await world.pass(controlPlane.spreadMs);
    world.changeToNew("good");
    await world.pass(controlPlane.spreadMs);
  } else if (variant.isHostile || variant.gates !== undefined) {
    // Nobody may have received the newest good one, or seen that its body was tampered with.
    world.changeToNew("good");
  }
  await settle(world);
  if (variant.gates === undefined) return;
  for (const kind of ["empty", "faulty"] as const) {
    world.changeToNew(kind);
    await world.pass(controlPlane.spreadMs + LOOK_MS);
    world.settled();
  }
}

async function settle(world: World): Promise<void> {
  const endMs = world.schedule.nowMs + SETTLE_MS;
  do await world.pass(LOOK_MS);
  while (!isSettled(world) && world.schedule.nowMs < endMs);
  // And it stays so.
  await world.pass(LOOK_MS);
  world.settled();
}

function isSettled(world: World): boolean {
  try {
    world.settled();
    return true;
  } catch (error) {
    if (error instanceof Violation) return false;
    throw error;
  }
}

/** As the same exporter, in a new process; what is left of the one before is gone. */
function comeBack(world: World, place: number, before: ExporterProcess): void {
  if (world.exporters[place] !== before) return;
  before.machine.isDead = true;
  world.start(place);
}
