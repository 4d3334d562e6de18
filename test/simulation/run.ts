/** A world's life: faults for some minutes, then calm, and a judgement at the end of it. */

import { comeBack, injure } from "./injuries.ts";
import { Violation } from "./violation.ts";
import { World, type WorldOptions } from "./world.ts";

/**
 * Once nothing goes wrong any more, and no delayed write is on its way, the newest config is current
 * within this time: a request that hangs (10 s), a lease that expires and is found so (15 s + 7 s),
 * the way back to the control plane (10 s + 5 s), the back-off (5 s) and the export delay (2 s).
 */
export const SETTLE_MS = 60_000;

const LOOK_MS = 10_000;

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
      if (world.variant.hasStranger) world.meetStranger();
      world.change();
      nextChangeMs += world.between(0, 2 * changeMs);
    } else {
      await injure(world);
      nextFaultMs += world.between(0, 2 * everyMs);
    }
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
  while (world.operators.some(({ isBusy }) => isBusy)) await world.pass(1_000);
  if (variant.isHostile || variant.hasOperator || variant.gates !== undefined) {
    // Nobody may have received the newest good one, or seen that its body was tampered with; or an operator put another one in its place.
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
