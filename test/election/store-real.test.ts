/** The election by a lease in real stores: the whole suite on a manual clock, and handovers by the machine's own. */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { StoreElection } from "../../src/election/store.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { FileStore } from "../../src/store/file.ts";
import type { Store } from "../../src/store/port.ts";
import { Pause } from "../fakes/pause.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { StoreLink } from "../fakes/store-link.ts";
import { startAzurite } from "../servers/azurite.ts";
import { startFakeGcs } from "../servers/fake-gcs.ts";
import { titled, whyMissing } from "../servers/locate.ts";
import { startMinio } from "../servers/minio.ts";
import type { Running } from "../servers/process.ts";
import { radosgwCommands, startRadosgw } from "../servers/radosgw.ts";
import { startVersitygw } from "../servers/versitygw.ts";
import { containerOf, openAzure } from "../store/azure-support.ts";
import { openGcs } from "../store/gcs-support.ts";
import { createBucket, openS3 } from "../store/s3-support.ts";
import { electionConformance } from "./conformance.ts";
import { firstToken } from "./first-token.ts";
import { electionOptions, StoreWorld } from "./store-world.ts";

/** Nothing here depends on whether a machine under load renews in time. */
const TTL_MS = 1_000;

interface Place {
  /** A client on that prefix. */
  readonly open: (prefix: string) => Promise<Store>;
  readonly stop: () => Promise<void>;
}

interface Kind {
  readonly name: string;
  readonly commands: readonly string[];
  readonly start: () => Promise<Place>;
}

const s3 = (start: () => Promise<Running & Parameters<typeof createBucket>[0]>) => async () => {
  const server = await start();
  await createBucket(server, "backups");
  const { region } = server;
  return {
    open: (prefix: string) => openS3(server, { bucket: "backups", prefix, region }),
    stop: () => server.stop(),
  };
};

const KINDS: readonly Kind[] = [
  {
    name: "FileStore",
    commands: [],
    start: async () => {
      const root = await mkdtemp(join(tmpdir(), "store-real-"));
      return {
        open: async (prefix) => {
          const directory = join(root, prefix);
          return new FileStore({ url: `file://${directory}`, directory, clock: systemClock });
        },
        stop: () => rm(root, { recursive: true, force: true }),
      };
    },
  },
  { name: "MinIO", commands: ["minio"], start: s3(startMinio) },
  { name: "versitygw", commands: ["versitygw"], start: s3(startVersitygw) },
  { name: "Ceph radosgw", commands: radosgwCommands, start: s3(startRadosgw) },
  {
    name: "fake-gcs-server",
    commands: ["fake-gcs-server"],
    start: async () => {
      const server = await startFakeGcs();
      await fetch(`${server.endpoint}/storage/v1/b?project=test`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ name: "backups" }),
      });
      const apiEndpoint = server.endpoint;
      return {
        open: async (prefix) => {
          return openGcs(apiEndpoint, { prefix });
        },
        stop: () => server.stop(),
      };
    },
  },
  {
    name: "Azurite",
    commands: ["azurite"],
    start: async () => {
      const server = await startAzurite();
      await containerOf(server).create();
      return {
        open: (prefix) => openAzure(server, { prefix }),
        stop: () => server.stop(),
      };
    },
  },
];

for (const { name, commands, start } of KINDS) {
  const missing = whyMissing(...commands);
  describe.skipIf(missing)(titled(`StoreElection over ${name}`, missing), () => {
    let place: Place;
    let prefixes = 0;
    const nextPrefix = (): string => {
      prefixes += 1;
      return `team/${prefixes}`;
    };

    beforeAll(async () => {
      place = await start();
    });
    afterAll(() => place?.stop());

    electionConformance("on a manual clock", {
      open: async () => new StoreWorld(await place.open(nextPrefix())),
      histories: 1,
    });

    describe("on the machine's clock", () => {
      it("hands over when the holder is told to stop", async () => {
        const prefix = nextPrefix();
        await using store = await place.open(prefix);
        await using other = await place.open(prefix);
        const first = contender(store, "first");
        const next = contender(other, "next");
        await using _ = next.election;
        const stop = new AbortController();
        const token = await firstToken(first.election, stop.signal, () => stop.abort());
        const nextToken = await firstToken(next.election, new AbortController().signal);
        assert.ok(nextToken > token, `${nextToken} after ${token}`);
        assert.equal(first.log.find("lease released").length, 1);
      });

      it("hands over when the holder is heard of no more", async () => {
        const prefix = nextPrefix();
        await using store = await place.open(prefix);
        await using other = await place.open(prefix);
        const lost = contender(store, "lost");
        const next = contender(other, "next");
        await using _ = next.election;
        let token = 0;
        for await (const leadership of lost.election.campaign(new AbortController().signal)) {
          if (leadership.kind === "follower") {
            lost.link.mend();
            break;
          }
          token = leadership.token;
          lost.link.cut("silent");
        }
        const nextToken = await firstToken(next.election, new AbortController().signal);
        assert.ok(nextToken > token, `${nextToken} after ${token}`);
        assert.ok(lost.log.find("lease lost, this exporter writes no more").length > 0);
      });
    });
  });
}

function contender(store: Store, id: string) {
  const log = new RecordingLog();
  const link = new StoreLink(store, new Pause());
  const election = new StoreElection({
    ...electionOptions(link, id, log),
    clock: systemClock,
    random: Math.random,
    ttlMs: TTL_MS,
  });
  return { election, link, log };
}
