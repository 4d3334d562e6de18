/** A world's life: faults for some minutes, then calm, and a judgement at the end of it. */

import type { Store } from "../../src/store/port.ts";
import type { ExporterProcess } from "./exporter-process.ts";
import { World } from "./world.ts";

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
  readonly trace: readonly string[];
  /** What was broken; undefined if nothing was. */
  readonly broken: unknown;
}

export interface LifeOptions {
  readonly seed: number;
  readonly store: Store;
  readonly isTraced?: boolean;
}

export async function live(options: LifeOptions): Promise<Life> {
  using world = new World(options);
  let broken: unknown;
  try {
    await suffer(world);
    await recover(world);
  } catch (error) {
    broken = error;
  }
  return {
    events: world.schedule.happened,
    faults: world.faults.counts,
    nodesApart: world.checker.nodesApart,
    unheardReturns: world.checker.unheardReturns,
    trace: world.trace,
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
      injure(world);
      nextFaultMs += world.between(0, 2 * everyMs);
    }
  }
}

const INJURIES = [
  ...["pause", "pause", "kill", "SIGTERM"],
  ...["store partition", "control plane partition", "control plane session lost"],
] as const;

function injure(world: World): void {
  const { exporters, faults, random, schedule } = world;
  const place = Math.floor(random() * exporters.length);
  const victim = exporters[place];
  const kind = INJURIES[Math.floor(random() * INJURIES.length)] ?? "pause";
  if (victim === undefined || !victim.isRunning || victim.isStopping) return;
  const { machine, path, source } = victim;
  const later = (ms: number, run: () => void) => {
    schedule.plan(ms, undefined, "message", () => {
      // At the end of the faults it was mended already.
      if (faults.isOn) run();
    });
  };
  const how = random() < 0.5 ? "refused" : "silent";
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
      path.cut = how;
      later(world.between(1_000, 60_000), () => {
        path.cut = undefined;
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
  const { controlPlane, exporters, faults, schedule } = world;
  faults.isOn = false;
  world.note(() => "no more faults");
  for (const { path, source } of exporters) {
    path.cut = undefined;
    source.mend();
  }
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
    world.change();
    await world.pass(controlPlane.spreadMs);
  }
  const endMs = schedule.nowMs + SETTLE_MS;
  do await world.pass(LOOK_MS);
  while (!world.checker.isSettled(exporters) && schedule.nowMs < endMs);
  // And it stays so.
  await world.pass(LOOK_MS);
  world.checker.settled(exporters);
}

/** As the same exporter, in a new process; what is left of the one before is gone. */
function comeBack(world: World, place: number, before: ExporterProcess): void {
  if (world.exporters[place] !== before) return;
  before.machine.isDead = true;
  world.start(place);
}
