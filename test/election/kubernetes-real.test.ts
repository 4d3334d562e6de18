/** The election by a Lease of a real kube-apiserver, by the machine's clock. */

import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "vitest";
import { kubeApiserverCommands } from "../servers/kube-apiserver.ts";
import { titled, whyMissing } from "../servers/locate.ts";
import { firstToken } from "./first-token.ts";
import { LEASES } from "./kubernetes-client.ts";
import { KubernetesStage, leaseDraft } from "./kubernetes-stage.ts";
import { LEASE_NAME } from "./kubernetes-world.ts";

interface LeaseObject {
  readonly metadata: {
    readonly annotations: Readonly<Record<string, string>>;
    readonly labels?: object;
  };
  readonly spec: Readonly<Record<string, unknown>>;
}

const missing = whyMissing(...kubeApiserverCommands);

describe.skipIf(missing)(
  titled("KubernetesElection over a kube-apiserver", missing),
  { timeout: 60_000 },
  () => {
    let stage: KubernetesStage;
    beforeAll(async () => {
      stage = await KubernetesStage.open(["kong"]);
      await stage.prepare("kong");
    }, 180_000);
    afterAll(() => stage?.[Symbol.asyncDispose]());

    const look = () => stage.admin.ask<LeaseObject>("GET", `${LEASES}/${LEASE_NAME}`);

    it("hands over when the holder is told to stop, and leaves the Lease there without a holder", async () => {
      const first = await stage.contender("kong");
      const stop = new AbortController();
      const token = await firstToken(first.election, stop.signal, () => stop.abort());
      assert.equal(first.log.find("lease released").length, 1);
      const { metadata, spec } = await look();
      assert.deepEqual([spec["holderIdentity"], spec["leaseDurationSeconds"]], ["", 1]);
      assert.equal(metadata.annotations["kong-fallback/fencing-token"], `${token}`);
      assert.equal(metadata.annotations["kong-fallback/store"], "memory://test");
      const next = await stage.contender("kong");
      assert.equal(await firstToken(next.election, new AbortController().signal), token + 1);
    });

    it("hands over when the holder is heard of no more", async () => {
      const lost = await stage.contender("kong");
      const next = await stage.contender("kong");
      let token = 0;
      for await (const leadership of lost.election.campaign(new AbortController().signal)) {
        if (leadership.kind === "holder") {
          token = leadership.token;
          lost.resource.isCut = true;
        } else if (token > 0) break;
      }
      const nextToken = await firstToken(next.election, new AbortController().signal);
      assert.ok(nextToken > token, `${nextToken} after ${token}`);
      assert.ok(lost.log.find("lease lost, this exporter writes no more").length > 0);
    });

    it("steps down when the Lease is deleted, and counts on", async () => {
      const { election, log } = await stage.contender("kong");
      const tokens: number[] = [];
      for await (const leadership of election.campaign(new AbortController().signal)) {
        if (leadership.kind === "follower") continue;
        tokens.push(leadership.token);
        if (tokens.length === 2) break;
        await stage.admin.ask("DELETE", `${LEASES}/${LEASE_NAME}`);
      }
      assert.equal(tokens[1], Number(tokens[0]) + 1);
      const [lost] = log.find("lease lost, this exporter writes no more");
      assert.equal(lost?.fields["reason"], "it was deleted");
    });

    it("does not bring back a Lease that was deleted, nor write over one made since, and keeps labels", async () => {
      const { resource } = await stage.contender("kong");
      const { signal } = new AbortController();
      await stage.admin.ask("DELETE", `${LEASES}/${LEASE_NAME}`);
      const created = await resource.write(leaseDraft(1), undefined, signal);
      assert.ok(created !== undefined);
      assert.equal(await resource.write(leaseDraft(2), undefined, signal), undefined);
      await stage.admin.ask("DELETE", `${LEASES}/${LEASE_NAME}`);
      assert.equal(await resource.write(leaseDraft(2), created, signal), undefined);
      assert.equal(await resource.read(signal), undefined);

      const metadata = { name: LEASE_NAME, labels: { team: "gateway" } };
      await stage.admin.ask("POST", LEASES, { metadata });
      assert.equal(await resource.write(leaseDraft(2), created, signal), undefined);
      const made = await resource.read(signal);
      assert.deepEqual([made?.holder, made?.token], ["", 0]);
      const taken = await resource.write(leaseDraft(3), made, signal);
      assert.deepEqual([taken?.holder, taken?.token, taken?.ttlMs], ["somebody", 3, 2_000]);
      const lying = await look();
      assert.deepEqual(lying.metadata.labels, metadata.labels);
      assert.equal(lying.spec["renewTime"], "2026-11-21T12:00:00.123000Z");
      assert.equal(await resource.write(leaseDraft(4), made, signal), undefined);
    });
  },
);
