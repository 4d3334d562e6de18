/** Several exporters that think they may write, and writes that get lost or arrive whenever they like. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, it } from "vitest";
import { PROPAGATION_MS } from "../../src/kong/wire.ts";
import { Archive } from "../../src/snapshots/archive.ts";
import { decodeMetadata } from "../../src/snapshots/metadata.ts";
import { PLAIN_SEAL } from "../../src/snapshots/seal/seal.ts";
import type { SnapshotMetadata } from "../../src/snapshots/snapshot.ts";
import { type Store, type StoredObject, StoreError, type Version } from "../../src/store/port.ts";
import { snapshotOf, V391 } from "../fakes/config.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { signal } from "./stage.ts";

const EXPORTERS = 2;

/** What becomes of a write: it happens; it does, but nobody hears of it; nobody does, and it may happen later. */
type Fate = "answered" | "unheard" | "delayed";

/** One object, whose version is a digest of its body, as S3's, or also of its metadata. */
class OneObject {
  object: StoredObject | undefined;
  fate: Fate = "answered";
  readonly delayed: (() => void)[] = [];
  readonly #metadataCount: boolean;

  constructor(metadataCount: boolean) {
    this.#metadataCount = metadataCount;
  }

  get store(): Store {
    const unused = () => assert.fail("not used");
    return {
      url: "memory://one",
      head: unused,
      getIfChanged: unused,
      list: unused,
      delete: unused,
      get: async () => {
        if (this.object !== undefined) return this.object;
        throw new StoreError("STORE_NOT_FOUND", "nothing there");
      },
      put: async (key, body, { metadata, when }) => {
        const digest = createHash(this.#metadataCount ? "sha256" : "md5").update(body);
        if (this.#metadataCount) digest.update(JSON.stringify(metadata));
        const version = digest.digest("hex") as Version;
        const happen = () => {
          const wanted = when !== undefined && "ifVersion" in when ? when.ifVersion : undefined;
          if (this.object?.version !== wanted) {
            throw new StoreError("STORE_PRECONDITION_FAILED", "another one");
          }
          this.object = { key, body, bytes: body.length, metadata, version };
          return this.object;
        };
        if (this.fate === "delayed") this.delayed.push(happen);
        else if (this.fate === "answered") return happen();
        else happen();
        throw new StoreError("STORE_UNAVAILABLE", "no answer");
      },
      [Symbol.asyncDispose]: async () => {},
    };
  }

  get text(): string {
    return Buffer.from(this.object?.body ?? []).toString();
  }

  get metadata(): SnapshotMetadata | undefined {
    return this.object && decodeMetadata(this.object.metadata, "it");
  }
}

class Scene {
  readonly one: OneObject;
  /** Names of the configs that the control plane had, in their order. */
  readonly changes: string[] = [];
  readonly exporters: {
    readonly archive: Archive;
    token: number;
    received: number;
    heardAtMs: number;
  }[] = [];
  /** The one that was elected last. */
  leader: number | undefined;
  #token = 0;
  #seen = 0;
  #seenHash: string | undefined;
  #tokenSeen = 0;
  #nowMs = 0;

  constructor(metadataCount: boolean) {
    this.one = new OneObject(metadataCount);
    const options = {
      store: this.one.store,
      kongVersion: V391,
      seal: PLAIN_SEAL,
      maxConfigBytes: 10_000,
    };
    for (let index = 0; index < EXPORTERS; index += 1) {
      const clock = { monotonicMs: () => this.#nowMs };
      const archive = new Archive({ ...options, clock, log: new RecordingLog() });
      this.exporters.push({ archive, token: 0, received: 0, heardAtMs: 0 });
    }
  }

  elect(index: number): void {
    const exporter = this.exporters[index];
    this.#token += 1;
    if (exporter !== undefined) exporter.token = this.#token;
    this.leader = index;
  }

  /** In a new session, of the newest change of the control plane. */
  hear(index: number): void {
    const exporter = this.exporters[index];
    if (exporter === undefined) return;
    exporter.received = this.changes.length;
    exporter.heardAtMs = this.#nowMs;
  }

  wait(): void {
    this.#nowMs += PROPAGATION_MS;
  }

  async save(index: number, fate: Fate): Promise<void> {
    const exporter = this.exporters[index];
    const name = this.changes[(exporter?.received ?? 0) - 1];
    if (exporter === undefined || exporter.token === 0 || name === undefined) return;
    this.one.fate = fate;
    const snapshot = snapshotOf(name, {
      // The control plane's clock runs backwards.
      controlPlaneTimestamp: 1_000 - exporter.received,
      exportedAt: new Date(exporter.received),
      fencingToken: exporter.token,
      exporterId: `exporter-${index}`,
    });
    const provenance = { asOfMs: exporter.heardAtMs, follows: () => false };
    if (exporter.archive.holds(snapshot.metadata.configHash, exporter.token)) return;
    const options = { conditional: true, provenance };
    await exporter.archive.save(snapshot, options, signal).catch((error: unknown) => {
      assert.ok(error instanceof StoreError);
    });
  }

  deliver(index: number): void {
    const [happen] = this.one.delayed.splice(index, 1);
    try {
      happen?.();
    } catch (error) {
      assert.ok(error instanceof StoreError);
    }
  }

  look(): void {
    const { metadata } = this.one;
    const token = metadata?.fencingToken ?? 0;
    assert.ok(token >= this.#tokenSeen, `token ${token} after ${this.#tokenSeen}`);
    this.#tokenSeen = token;
    // Written once more, by one who received it at an earlier change to it.
    if (metadata === undefined || metadata.configHash === this.#seenHash) return;
    const change = metadata.exportedAt.getTime();
    assert.ok(change >= this.#seen, `${change} after ${this.#seen}`);
    this.#seen = change;
    this.#seenHash = metadata.configHash;
  }
}

type Step = readonly ["change" | "elect" | "hear" | "wait" | "save" | "deliver", number, Fate];

const step: fc.Arbitrary<Step> = fc.tuple(
  fc.constantFrom(
    "change",
    "change",
    "elect",
    "hear",
    "hear",
    "wait",
    "save",
    "save",
    "save",
    "deliver",
  ),
  fc.nat(EXPORTERS - 1),
  fc.constantFrom("answered", "answered", "unheard", "delayed"),
);

async function take(scene: Scene, [what, index, fate]: Step): Promise<void> {
  switch (what) {
    case "change":
      scene.changes.push(index === 0 ? "x" : "y");
      return;
    case "elect":
      return scene.elect(index);
    case "hear":
      return scene.hear(index);
    case "wait":
      return scene.wait();
    case "save":
      return scene.save(index, fate);
    case "deliver":
      return scene.deliver(index);
    default:
      what satisfies never;
  }
}

describe("whatever exporters do, and whenever their writes arrive", () => {
  for (const [kind, metadataCount] of [
    ["the body alone", false],
    ["the body and its metadata", true],
  ] as const) {
    it(`the backup never goes backwards where the version is of ${kind}, and the last leader's word stays`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 40, maxLength: 80 }), async (steps) => {
          const scene = new Scene(metadataCount);
          for (const one of steps) {
            await take(scene, one);
            scene.look();
          }
          scene.changes.push("z");
          const leader = scene.leader ?? 0;
          if (scene.leader === undefined) scene.elect(leader);
          scene.hear(leader);
          await scene.save(leader, "answered");
          // Now it has seen what lies there, and asks anew.
          scene.wait();
          scene.hear(leader);
          await scene.save(leader, "answered");
          scene.look();
          while (scene.one.delayed.length > 0) scene.deliver(0);
          scene.look();
          assert.match(scene.one.text, /"name":"z"/);
        }),
        { numRuns: 2_000, endOnFailure: true },
      );
    });
  }
});
