/** Somebody who looks after a store while exporters run: restores and prunes by the real jobs, and now and then deletes the lease. */

import { ServiceError } from "../../src/core/errors.ts";
import type { Log } from "../../src/core/log.ts";
import { foldersOf } from "../../src/maintenance/folder.ts";
import { pruneFolder } from "../../src/maintenance/prune.ts";
import { restoreIn } from "../../src/maintenance/restore.ts";
import { leaseKey } from "../../src/snapshots/layout.ts";
import type { Seal } from "../../src/snapshots/seal/seal.ts";
import { StoreError } from "../../src/store/port.ts";
import { V391 } from "../fakes/config.ts";
import type { Machine } from "./machine.ts";
import { LEASE_TTL_MS, MAX_CONFIG_BYTES } from "./seat.ts";
import type { Site } from "./site.ts";
import type { StorePath } from "./store-path.ts";

export const DEEDS = ["operator restores", "operator prunes", "lease deleted"] as const;

export type Deed = (typeof DEEDS)[number];

export interface OperatorOptions {
  readonly site: Site;
  readonly path: StorePath;
  readonly machine: Machine;
  readonly seal: Seal;
  readonly random: () => number;
  readonly log: Log;
  /** Takes a bug; what the store or the exporters refuse is none. */
  readonly onBug: (error: unknown) => void;
}

const never = new AbortController().signal;

export class Operator {
  readonly #options: OperatorOptions;
  /** In the midst of a deed. */
  isBusy = false;

  constructor(options: OperatorOptions) {
    this.#options = options;
  }

  /** One thing at a time. */
  do(deed: Deed): void {
    if (this.isBusy) return;
    this.isBusy = true;
    this.#deed(deed).then(
      () => {
        this.isBusy = false;
      },
      (error: unknown) => {
        this.isBusy = false;
        if (!(error instanceof ServiceError)) this.#options.onBug(error);
      },
    );
  }

  #deed(deed: Deed): Promise<void> {
    switch (deed) {
      case "operator restores":
        return this.#restore();
      case "operator prunes":
        return this.#prune();
      case "lease deleted":
        return this.#deleteLease();
      default:
        return deed satisfies never;
    }
  }

  async #restore(): Promise<void> {
    const { machine: clock, log, random } = this.#options;
    const folder = this.#folder();
    const { history } = folder.archive;
    const saved = (await history.list(never)).filter(({ held }) => !held);
    const chosen = saved[Math.floor(random() * saved.length)];
    if (chosen === undefined) return;
    const snapshot = await history.read(chosen.id, never);
    const context = {
      election: "store",
      openElection: () => Promise.reject(new Error("the lease is taken, not won")),
      leaseTtlMs: LEASE_TTL_MS,
      hostname: clock.name,
      clock,
      log,
      say: () => {},
      askPreconditions: async () => true,
    } as const;
    await restoreIn(folder, { id: chosen.id, snapshot, takeOver: true }, context, never);
  }

  async #prune(): Promise<void> {
    const now = this.#options.machine.now();
    await pruneFolder(this.#folder(), { maxCount: 2 }, { dryRun: false, now }, never);
  }

  /** Only one under whose token something was saved: else that token is given out again (docs/format.md). */
  async #deleteLease(): Promise<void> {
    const { site, path } = this.#options;
    const key = leaseKey(V391);
    try {
      const { body } = await path.get(key, { maxBytes: MAX_CONFIG_BYTES }, never);
      const { token } = JSON.parse(new TextDecoder().decode(body));
      if (token === site.checker.current?.fencingToken) await path.delete(key, never);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    }
  }

  #folder() {
    const { path, seal, log } = this.#options;
    const common = { seal, maxConfigBytes: MAX_CONFIG_BYTES, log };
    const [folder] = foldersOf([V391], [path], common);
    if (folder === undefined) throw new Error("a folder for each version and store");
    return folder;
  }
}
