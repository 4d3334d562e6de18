/** Somebody who holds the bucket but no key: puts there what ever lay there, what he makes himself, or nothing. */

import { MAX_TOKEN } from "../../src/election/lease.ts";
import { historyPrefix } from "../../src/snapshots/layout.ts";
import type { Metadata } from "../../src/store/port.ts";
import { V391 } from "../fakes/config.ts";
import { CURRENT, type Site } from "./site.ts";
import type { World } from "./world.ts";

export const ATTACKS = [
  ...["old object put back", "entry of the history in its place", "held config in its place"],
  ...["body tampered with", "metadata tampered with", "token forged", "current object deleted"],
] as const;

type Attack = (typeof ATTACKS)[number];

const always = new AbortController().signal;

/** Does nothing where there is nothing to work with. Resolves to what was done. */
export async function attack(world: World): Promise<Attack | undefined> {
  const site = pick(world, world.sites);
  const kind = pick(world, ATTACKS);
  if (site === undefined || kind === undefined || !(await ATTACK[kind](world, site))) {
    return undefined;
  }
  await site.meddled();
  return kind;
}

/** Each resolves to whether there was something to do. */
const ATTACK: { readonly [Kind in Attack]: (world: World, site: Site) => Promise<boolean> } = {
  "old object put back": async (world, site) => {
    const old = pick(world, site.past.slice(0, -1));
    return old !== undefined && put(site, old.body, old.metadata);
  },
  "entry of the history in its place": (world, site) => fromHistory(world, site, false),
  "held config in its place": (world, site) => fromHistory(world, site, true),
  "body tampered with": async (world, site) => {
    const object = pick(world, site.past.slice(-1));
    if (object === undefined) return false;
    const body = object.body.slice();
    const place = Math.floor(world.random() * body.length);
    body[place] = (body[place] ?? 0) ^ 1;
    return put(site, body, object.metadata);
  },
  "metadata tampered with": async (world, site) => {
    const object = pick(world, site.past.slice(0, -1));
    const newest = site.past.at(-1);
    if (object === undefined || newest === undefined) return false;
    const name = "control-plane-timestamp";
    const metadata = { ...object.metadata, [name]: newest.metadata[name] ?? "" };
    return put(site, object.body, metadata);
  },
  "token forged": async (world, site) => {
    const object = pick(world, site.past);
    if (object === undefined) return false;
    const forged = { ...object.metadata, "fencing-token": String(MAX_TOKEN) };
    const { signature: _, ...unsigned }: Metadata = forged;
    return put(site, object.body, world.random() < 0.5 ? forged : unsigned);
  },
  "current object deleted": async (_, site) => {
    await site.store.delete(CURRENT, always);
    return true;
  },
};

async function fromHistory(world: World, site: Site, isHeld: boolean): Promise<boolean> {
  const keys = [];
  for await (const { key } of site.store.list(historyPrefix(V391), always)) {
    if (key.includes(".held.") === isHeld) keys.push(key);
  }
  const key = pick(world, keys);
  if (key === undefined) return false;
  const { body, metadata } = await site.store.get(key, { maxBytes: 1_000_000 }, always);
  return put(site, body, metadata);
}

async function put(site: Site, body: Uint8Array, metadata: Metadata): Promise<boolean> {
  await site.store.put(CURRENT, body, { metadata, contentType: "application/json" }, always);
  return true;
}

function pick<T>(world: World, items: readonly T[]): T | undefined {
  return items[Math.floor(world.random() * items.length)];
}
