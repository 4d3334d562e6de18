/** What befalls the exporters of a world, their stores and its reader. */

import { ATTACKS, attack } from "./adversary.ts";
import type { ExporterProcess } from "./exporter-process.ts";
import { DEEDS } from "./operator.ts";
import type { StorePath } from "./store-path.ts";
import type { Variant } from "./variant.ts";
import { astrayMs } from "./wall-clock.ts";
import type { World } from "./world.ts";

/** Of an exporter from the control plane; longer ones are in cut-off.test.ts. */
const MAX_SOURCE_CUT_MS = 100_000;

const INJURIES = [
  ...["pause", "pause", "kill", "SIGTERM"],
  ...["store partition", "control plane partition", "control plane session lost"],
] as const;
const OF_CLOCKS = [
  "exporter's clock set",
  "control plane's clock set",
  "reader's clock set",
] as const;
const OF_SUSPENDED = ["suspend", "suspend"] as const;
const OF_LEASES = ["lease partition"] as const;
const OF_SEVERAL = ["store outage", "reader partition"] as const;
const OF_GATES = ["rehearsal away"] as const;
const OF_HOSTILE = ["attack", "attack", "attack"] as const;

type Injury = (
  | typeof INJURIES
  | typeof OF_CLOCKS
  | typeof OF_LEASES
  | typeof OF_SEVERAL
  | typeof OF_GATES
  | typeof OF_HOSTILE
  | typeof OF_SUSPENDED
  | typeof DEEDS
)[number];

/** What befalls exporters, in a world with this variant and so many stores. */
function injuriesOf(
  { election, gates, isHostile, hasOperator, suspends }: Variant,
  stores: number,
  isAstray: boolean,
): readonly Injury[] {
  return [
    ...INJURIES,
    ...(isAstray ? OF_CLOCKS : []),
    ...(election === undefined ? [] : OF_LEASES),
    ...(stores === 1 ? [] : OF_SEVERAL),
    ...(gates === undefined ? [] : OF_GATES),
    ...(isHostile ? OF_HOSTILE : []),
    ...(hasOperator ? DEEDS : []),
    ...(suspends ? OF_SUSPENDED : []),
  ];
}

/** Kinds of faults there are in such a world: the injuries, three of a read, five of a write. */
export function faultKinds(variant: Variant, stores: number): number {
  const kinds = new Set(injuriesOf(variant, stores, true));
  const attacks = kinds.delete("attack")
    ? ATTACKS.length - (variant.gates === undefined ? 1 : 0)
    : 0;
  return kinds.size + attacks + 8;
}

/** One of them at random. */
export async function injure(world: World): Promise<void> {
  const { exporters, faults, random, schedule, sites, variant, watcherPaths } = world;
  const place = Math.floor(random() * exporters.length);
  const victim = exporters[place];
  const kinds = injuriesOf(variant, sites.length, world.isAstray);
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
    case "suspend":
      machine.suspend(world.between(15_000, 60_000));
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
    case "exporter's clock set":
      machine.wall.set(setTo(world));
      return;
    case "reader's clock set":
      world.watcher.machine.wall.set(setTo(world));
      return;
    case "control plane's clock set": {
      const { nodes } = world.controlPlane;
      nodes[Math.floor(random() * nodes.length)]?.clock.set(setTo(world));
      return;
    }
    case "control plane partition":
      source.cut(how);
      later(world.between(1_000, MAX_SOURCE_CUT_MS), () => source.mend());
      return;
    case "operator restores":
    case "operator prunes":
    case "lease deleted":
      world.operators[index]?.do(kind);
      return;
    case "control plane session lost":
      source.lose();
      return;
    default:
      kind satisfies never;
  }
}

/** How far off a clock is from then on: as often as not it is set right. */
function setTo({ random }: World): number {
  return random() < 0.5 ? 0 : astrayMs(random);
}

/** As the same exporter, in a new process; what is left of the one before is gone. */
export function comeBack(world: World, place: number, before: ExporterProcess): void {
  if (world.exporters[place] !== before) return;
  before.machine.isDead = true;
  world.start(place);
}
