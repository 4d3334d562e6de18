/** The election by a Kubernetes Lease: what the operator is told when the API server refuses, and Leases that others changed. */

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { V1MicroTime } from "@kubernetes/client-node";
import { describe, it } from "vitest";
import { ElectionError, type ElectionErrorCode } from "../../src/election/port.ts";
import { StoreError } from "../../src/store/port.ts";
import { type Answer, status } from "../fakes/lease-api.ts";
import { Stage } from "./conformance/stage.ts";
import {
  type KubernetesContender,
  KubernetesWorld,
  LEASE_NAME,
  TTL_MS,
} from "./kubernetes-world.ts";

const ID = `kong/${LEASE_NAME}`;
const ANNOTATION = "kong-fallback/fencing-token";

/** A world, and the judge of the suite. */
async function open() {
  const world = await KubernetesWorld.open();
  const stage = await Stage.open({ open: async () => world });
  return { world, stage };
}

describe("an API server that refuses", () => {
  const cases: readonly (readonly [string, Answer, ElectionErrorCode, RegExp, RegExp])[] = [
    ["401", status(401, "Unauthorized", "Unauthorized"), "ELECTION_DENIED", /credentials/, /token/],
    [
      "403",
      status(403, "Forbidden", 'User "x" cannot get resource "leases"'),
      "ELECTION_DENIED",
      /does not allow it \(403, User "x" cannot/,
      /Role in namespace kong .*coordination\.k8s\.io.*leases.*get, create, update/,
    ],
    ["422", status(422, "Invalid", "metadata.name"), "ELECTION_DENIED", /422, metadata/, /_ID/],
    ["429", status(429, "TooManyRequests", "slow"), "ELECTION_UNAVAILABLE", /429, slow/, /^$/],
    ["500", status(500, "InternalError", "etcd"), "ELECTION_UNAVAILABLE", /500, etcd/, /^$/],
    ["503 of a proxy", { status: 503, body: "<html>" }, "ELECTION_UNAVAILABLE", /\(503\)/, /^$/],
    [
      "404 of another server",
      { status: 404, body: "<html>" },
      "ELECTION_MISCONFIGURED",
      /no Kubernetes API server answers there \(404\)/,
      /address/,
    ],
    [
      "no JSON",
      { status: 200, body: "welcome" },
      "ELECTION_MISCONFIGURED",
      /no Kubernetes API/,
      /address/,
    ],
    ["no Lease", { status: 200, body: "{}" }, "ELECTION_MISCONFIGURED", /is no Lease/, /address/],
  ];
  it.each(cases)("with %s is reported once and asked again", async (_, answer, code, why, hint) => {
    const { world, stage } = await open();
    await using _stage = stage;
    const prepare = (contender: KubernetesContender) => {
      contender.caller.answer = answer;
    };
    const { runner: only, log, caller } = await runner(world, stage, { prepare });
    await stage.advance(TTL_MS);
    const told = [...log.find("warn"), ...log.find("error")];
    assert.equal(told.length, 1);
    const error = told[0]?.fields["err"];
    assert.ok(error instanceof ElectionError, inspect(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, /^could not read Lease kong\/|^the answer for Lease kong\//);
    assert.match(error.message, why);
    assert.match(error.hint ?? "", hint);
    assert.equal(error.retryable, code === "ELECTION_UNAVAILABLE");
    assert.ok(!inspect(error, { depth: 9, showHidden: true }).includes(caller.token));
    caller.answer = undefined;
    await stage.advance(5_000);
    assert.deepEqual(only.told, [{ kind: "holder", token: 1 }]);
  });

  it("with nothing is looked for at the API server", async () => {
    const { world, stage } = await open();
    await using _ = stage;
    const prepare = (contender: KubernetesContender) => contender.cutOff("silent");
    const { log } = await runner(world, stage, { prepare });
    await stage.until(() => log.find("warn").length > 0, TTL_MS);
    const error = log.find("warn")[0]?.fields["err"];
    assert.ok(error instanceof ElectionError, inspect(error));
    assert.match(error.message, /^could not read Lease kong\/.*: no answer within /);
    assert.match(error.hint ?? "", /^Look at the API server and the network; /);
  });

  it("because the namespace does not exist says so", async () => {
    const { world, stage } = await open();
    await using _ = stage;
    world.api.namespaces.clear();
    const { log } = await runner(world, stage);
    const [line] = log.find("error");
    assert.match(String(line?.fields["err"]), /there is no namespace kong/);
  });
});

describe("the fencing token", () => {
  it("is above all that are known elsewhere, and above the count of transitions", async () => {
    const { world, stage } = await open();
    await using _ = stage;
    const first = await runner(world, stage, { floor: async () => 41 });
    // Where tokens were given out, a missing Lease may have been deleted under its holder.
    await stage.until(() => first.runner.isHolder, TTL_MS);
    assert.equal(first.runner.token, 42);
    first.runner.stop();
    const lease = lying(world);
    delete lease.metadata.annotations?.[ANNOTATION];
    lease.spec = { ...lease.spec, leaseTransitions: 99 };
    world.api.touch(lease);
    const next = await runner(world, stage, { floor: async () => 7 });
    await stage.until(() => next.runner.isHolder, TTL_MS);
    assert.equal(next.runner.token, 100);
    assert.equal(lying(world).spec?.["leaseTransitions"], 100);
  });

  it("is not given out while what is known elsewhere cannot be learnt", async () => {
    const { world, stage } = await open();
    await using _ = stage;
    let isDown = true;
    const floor = async () => {
      if (isDown) throw new StoreError("STORE_UNAVAILABLE", "down");
      return 0;
    };
    const { runner: only, log } = await runner(world, stage, { floor });
    await stage.advance(TTL_MS);
    assert.ok(!only.isHolder);
    assert.equal(log.find("warn").length, 1);
    isDown = false;
    await stage.until(() => only.isHolder, world.pollMs);
  });

  it("is given out for nothing to a process that stood still while it took the Lease", async () => {
    const { world, stage } = await open();
    await using _ = stage;
    let pause = () => {};
    const floor = async () => {
      pause();
      pause = () => {};
      return 0;
    };
    const {
      runner: slow,
      log,
      caller,
    } = await runner(world, stage, {
      floor,
      prepare: (contender) => {
        pause = () => contender.pause();
      },
    });
    assert.equal(lying(world).metadata.annotations?.[ANNOTATION], "1");
    await stage.advance(TTL_MS);
    // What lies in the socket may come before any timer fires.
    caller.pause.end();
    await stage.advance(0);
    slow.resume();
    await stage.until(() => slow.isHolder, world.pollMs);
    assert.equal(slow.token, 2);
    assert.equal(log.find("lease acquired, this exporter writes").length, 1);
  });

  it("that is none keeps everybody from holding, and ends the time of the holder", async () => {
    const { world, stage } = await open();
    await using _ = stage;
    const { runner: holder, log } = await runner(world, stage);
    await stage.until(() => holder.isHolder, 0);
    lying(world).metadata.annotations = { [ANNOTATION]: "many" };
    world.api.touch(lying(world));
    await stage.advance(TTL_MS * 2);
    assert.ok(!holder.isHolder);
    const [line] = log.find("lease lost, this exporter writes no more");
    assert.equal(line?.fields["reason"], "it was damaged");
    const [error] = log.find("error");
    assert.match(
      String(error?.fields["err"]),
      /annotation kong-fallback\/fencing-token is no token/,
    );
    world.api.leases.delete(ID);
    await stage.until(() => holder.isHolder, TTL_MS + world.pollMs);
    assert.equal(holder.token, 2);
  });
});

describe("a Lease that others changed", () => {
  it("stays its holder's where only a label was set, and keeps the label", async () => {
    const { world, stage } = await open();
    await using _ = stage;
    const { runner: holder } = await runner(world, stage);
    lying(world).metadata.labels = { team: "gateway" };
    world.api.touch(lying(world));
    const { renewTime, acquireTime } = Object(lying(world).spec);
    await stage.advance(TTL_MS * 2);
    assert.equal(holder.told.length, 1);
    assert.notEqual(lying(world).spec?.["renewTime"], renewTime);
    assert.equal(lying(world).spec?.["acquireTime"], acquireTime);
    assert.deepEqual(lying(world).metadata.labels, { team: "gateway" });
  });

  it("is another holder's at once where one took it, and is left alone as long as that one said", async () => {
    const { world, stage } = await open();
    await using _ = stage;
    const { runner: loser, log } = await runner(world, stage);
    lying(world).spec = { holderIdentity: "by-hand", leaseDurationSeconds: 40 };
    world.api.touch(lying(world));
    await stage.advance(4_500);
    assert.deepEqual(loser.told.at(-1), { kind: "follower", holder: "by-hand" });
    const [line] = log.find("lease lost, this exporter writes no more");
    assert.equal(line?.fields["reason"], "by-hand took it");
    await stage.advance(35_000);
    assert.ok(!loser.isHolder);
    await stage.until(() => loser.isHolder, world.pollMs);
  });

  it("is not taken before its time where it was deleted under its holder", async () => {
    const { world, stage } = await open();
    await using _ = stage;
    const { runner: holder } = await runner(world, stage);
    const { runner: follower } = await runner(world, stage);
    holder.contender.cutOff("silent");
    world.api.leases.delete(ID);
    await stage.until(() => !holder.isHolder, TTL_MS);
    assert.ok(!follower.isHolder);
    await stage.until(() => follower.isHolder, TTL_MS);
    assert.equal(follower.token, 2);
  });
});

describe("the Lease", () => {
  it("names whole seconds, rounded up, and after a stop says when it was released", async () => {
    const { world, stage } = await open();
    await using _ = stage;
    world.ttlMs = 14_500;
    const { runner: only } = await runner(world, stage);
    assert.equal(lying(world).spec?.["leaseDurationSeconds"], 15);
    await stage.advance(TTL_MS * 2);
    const at = new V1MicroTime(world.clock.now()).toISOString();
    only.stop();
    await stage.until(() => only.ended !== undefined, 0);
    const { holderIdentity, leaseDurationSeconds, acquireTime, renewTime } = Object(
      lying(world).spec,
    );
    assert.deepEqual([holderIdentity, leaseDurationSeconds], ["", 1]);
    assert.deepEqual([acquireTime, renewTime], [at, at]);
  });
});

function lying(world: KubernetesWorld) {
  const lease = world.api.leases.get(ID);
  assert.ok(lease !== undefined, "there is no Lease");
  return lease;
}

interface Circumstances {
  readonly floor?: () => Promise<number>;
  readonly prepare?: (contender: KubernetesContender) => void;
}

/** One more that campaigns, with its log. */
async function runner(
  world: KubernetesWorld,
  stage: Stage,
  { floor = async () => 0, prepare }: Circumstances = {},
) {
  world.floor = floor;
  const running = await stage.run((contender) => prepare?.(contender as KubernetesContender));
  const { log, caller } = running.contender as KubernetesContender;
  return { runner: running, log, caller };
}

describe("a Lease that exporters of two stores share", () => {
  it("names the store of its holder: the other one says so, and what to do", async () => {
    const { world, stage } = await open();
    await using _ = stage;
    world.store = "s3://first/kong";
    const holder = await stage.run();
    await stage.until(() => holder.isHolder, 0);
    world.store = "s3://second/kong";
    const contenders: KubernetesContender[] = [];
    const other = await stage.run((contender) => contenders.push(contender as KubernetesContender));
    await stage.until(() => other.told.length > 0, 0);
    await stage.advance(4 * TTL_MS);
    assert.equal(other.isHolder, false);
    const lines = contenders.flatMap(({ log }) => log.find("error"));
    assert.equal(lines.length, 1, "it is said once, and then every 5 minutes");
    const { message, fields } = lines[0] ?? assert.fail();
    assert.equal(message, "election fails, an operator must act");
    const { err } = fields as { readonly err: unknown };
    assert.ok(err instanceof ElectionError);
    assert.equal(err.code, "ELECTION_MISCONFIGURED");
    assert.match(
      err.message,
      /kong-fallback-exporter-3-9-1 .*held for s3:\/\/first\/kong.*nothing is saved in s3:\/\/second\/kong/,
    );
    assert.match(err.hint ?? "", /KONG_FALLBACK_ELECTION_ID of their own/);
    // The store was moved: nobody waits for who is gone.
    holder.stop();
    await stage.until(() => other.isHolder, TTL_MS);
    assert.equal(lying(world).metadata.annotations?.["kong-fallback/store"], "s3://second/kong");
  });

  it("of an older release names none, and is left alone and taken as ever", async () => {
    const { world, stage } = await open();
    await using _ = stage;
    const holder = await stage.run();
    await stage.until(() => holder.isHolder, 0);
    delete lying(world).metadata.annotations?.["kong-fallback/store"];
    world.store = "s3://second/kong";
    const contenders: KubernetesContender[] = [];
    const other = await stage.run((contender) => contenders.push(contender as KubernetesContender));
    await stage.until(() => other.told.length > 0, 0);
    assert.deepEqual(
      contenders.flatMap(({ log }) => log.find("error")),
      [],
    );
  });
});
