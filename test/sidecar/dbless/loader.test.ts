/** Sending snapshots to a DB-less Kong: refusals, delays, lost answers. */

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, it } from "vitest";
import { SnapshotError } from "../../../src/snapshots/errors.ts";
import { StoreError } from "../../../src/store/port.ts";
import { configBytes } from "../../fakes/config.ts";
import { EMPTY_HASH, refusing } from "../../fakes/kong-admin.ts";
import { ANSWERS, schemaRefusal } from "../../fakes/kong-admin-answers.ts";
import { DblessStage, FOREIGN, GRACE_MS, GRACE_POLLS, hashOf, loadable } from "./stage.ts";

let stage: DblessStage;
beforeEach(async () => {
  stage = await DblessStage.open();
  stage.newest = loadable("a");
});
afterEach(() => stage[Symbol.asyncDispose]());

async function startAndFill(): Promise<void> {
  await stage.start();
  await stage.poll(GRACE_POLLS);
}

describe("a snapshot that Kong refuses", () => {
  const message = "plugin 'nope' not enabled; add it to the 'plugins' configuration property";
  const entity = { name: "nope", secret: "hunter2-hunter2" };
  const errors = [{ type: "field", field: "name", message }];
  const refusal = schemaRefusal({
    flattened: [{ entity_type: "plugin", entity_name: "nope", entity, errors }],
  });

  it("is not sent again, and Kong's reasons are said once, without the config", async () => {
    stage.kong.answerNext("/config", refusal);
    await startAndFill();
    const { state } = stage.keeper;
    assert.equal(state.kind, "refused");
    await stage.poll(50);
    assert.equal(stage.keeper.state, state);
    assert.equal(stage.posts, 1);
    const said = stage.log.find("error");
    assert.equal(said.length, 1);
    assert.match(inspect(said[0]?.fields), /plugin "nope", field name: plugin 'nope' not enabled/);
    assert.ok(!inspect(stage.log.lines, { depth: 9 }).includes("hunter2"));
  });

  it("gives way to a newer one at once", async () => {
    stage.kong.answerNext("/config", refusal);
    await startAndFill();
    stage.newest = loadable("b");
    await stage.poll();
    assert.equal(stage.kong.configurationHash, hashOf("b"));
    assert.equal(stage.keeper.state.kind, "ours");
  });

  it("is tried again after Kong was away", async () => {
    stage.kong.answerNext("/config", ANSWERS.mapFull);
    await startAndFill();
    await stage.stopKong();
    await stage.poll();
    await stage.startKong();
    await stage.poll(GRACE_POLLS + 1);
    assert.equal(stage.keeper.state.kind, "ours");
  });

  it("leaves the older one there, until somebody else replaces it", async () => {
    await startAndFill();
    stage.newest = loadable("b");
    stage.kong.answerNext("/config", refusal);
    await stage.poll(5);
    const { kind, ...rest } = stage.keeper.state;
    assert.deepEqual([kind, "hash" in rest && rest.hash], ["refused", hashOf("a")]);
    stage.kong.configurationHash = FOREIGN;
    await stage.poll();
    assert.equal(stage.keeper.state.kind, "foreign");
    assert.equal(stage.posts, 2);
  });

  it("is tried again by a Kong that was away and still has the older one", async () => {
    await startAndFill();
    stage.newest = loadable("b");
    stage.kong.answerNext("/config", refusal);
    await stage.poll();
    await stage.stopKong();
    await stage.poll();
    await stage.startKong(hashOf("a"));
    await stage.poll();
    assert.equal(stage.kong.configurationHash, hashOf("b"));
  });

  it("is tried again by a Kong that restarted between two looks", async () => {
    await startAndFill();
    stage.newest = loadable("b");
    stage.kong.answerNext("/config", refusal);
    await stage.poll(2);
    stage.kong.configurationHash = EMPTY_HASH;
    await stage.poll(GRACE_POLLS + 1);
    assert.equal(stage.kong.configurationHash, hashOf("b"));
  });
});

describe("an empty Kong that refuses the newest snapshot", () => {
  beforeEach(() => {
    stage.newest = loadable("bad");
    stage.earlier = ["worse", "good", "older"].map((name) => loadable(name));
    stage.kong.refuse = (config) => [...refusing("bad")(config), ...refusing("worse")(config)];
  });

  async function startEmpty(): Promise<void> {
    await stage.start();
    await stage.poll(GRACE_POLLS);
  }

  it("gets the newest that it takes, loudly, and keeps it until there is a newer one than it refuses", async () => {
    await startEmpty();
    await stage.poll(20);
    assert.equal(stage.kong.configurationHash, hashOf("good"));
    assert.equal(stage.posts, 3);
    const { kind, ...rest } = stage.keeper.state;
    assert.deepEqual([kind, "hash" in rest && rest.hash], ["refused", hashOf("good")]);
    const [said] = stage.log.find("Kong refuses the newest snapshot, it is given an older one");
    assert.deepEqual([said?.level, said?.fields], ["error", { refused: "bad", snapshot: "good" }]);
    stage.newest = loadable("mended");
    await stage.poll();
    assert.equal(stage.kong.configurationHash, hashOf("mended"));
    assert.equal(stage.keeper.state.kind, "ours");
  });

  it("gets it again when it restarts empty", async () => {
    await startEmpty();
    await stage.poll(5);
    stage.kong.configurationHash = EMPTY_HASH;
    await stage.poll(GRACE_POLLS + 20);
    assert.equal(stage.kong.configurationHash, hashOf("good"));
  });

  it("gets nothing while the control plane is known to live, and an older one once it is not", async () => {
    stage.isControlPlaneLive = true;
    await startEmpty();
    await stage.poll(30);
    assert.equal(stage.posts, 1);
    const message = "control plane lives, so Kong is given no older snapshot than it refuses";
    assert.equal(stage.log.find(message).length, 1);
    stage.isControlPlaneLive = false;
    await stage.poll(30);
    assert.equal(stage.kong.configurationHash, hashOf("good"));
  });

  it("is left empty where it takes none, which is said once", async () => {
    stage.kong.refuse = () => [{ errors: [{ type: "entity", message: "no" }] }];
    await startEmpty();
    await stage.poll(50);
    assert.equal(stage.posts, 4);
    const message = "Kong refuses the newest snapshot and all older ones that were tried";
    assert.equal(stage.log.find(message).length, 1);
    assert.equal(stage.keeper.state.kind, "refused");
  });

  it("is looked after again where the history cannot be read", async () => {
    stage.earlier = [new StoreError("STORE_UNAVAILABLE", "the store is down")];
    await startEmpty();
    await stage.poll(10);
    assert.equal(
      stage.log.find("could not read older snapshots for Kong, will try again").length,
      1,
    );
    stage.earlier = [loadable("good")];
    await stage.poll(30);
    assert.equal(stage.kong.configurationHash, hashOf("good"));
  });

  it("is given nothing older where it refuses whoever asks", async () => {
    stage.kong.refuse = () => [];
    stage.kong.answerNext("/config", ANSWERS.unauthorized);
    await startEmpty();
    await stage.poll(20);
    assert.equal(stage.posts, 1);
  });
});

describe("a Kong that does not take it yet", () => {
  it.each(["exiting", "timeout", "unexpected"] as const)("as %s is tried again", async (name) => {
    stage.kong.answerNext("/config", ANSWERS[name], ANSWERS[name]);
    // Delays of 5 s each, met by the next look.
    assert.deepEqual(await stage.postTimes(15), [GRACE_MS, GRACE_MS + 6_000, GRACE_MS + 12_000]);
    assert.equal(stage.keeper.state.kind, "ours");
    assert.equal(stage.log.find("warn").length, 1);
  });

  it("as it is busy gets the time it asks for", async () => {
    stage.kong.answerNext("/config", ANSWERS.busy);
    assert.deepEqual(await stage.postTimes(15), [GRACE_MS, GRACE_MS + 8_000]);
  });

  it("is tried more and more seldom, at random moments, but at least once a minute", async () => {
    // The longest delays: the first one, too, is up to twice the shortest.
    stage.random = () => 1;
    stage.kong.answerNext("/config", ...Array(6).fill(ANSWERS.unexpected));
    const times = await stage.postTimes(135);
    const gaps = times.map((time, index) => time - (times[index - 1] ?? 0)).slice(1);
    assert.deepEqual(gaps, [10_000, 20_000, 40_000, 60_000, 60_000, 60_000]);
    assert.equal(stage.keeper.state.kind, "ours");
    stage.kong.answerNext("/config", ANSWERS.unexpected);
    stage.newest = loadable("b");
    await stage.poll(6);
    assert.equal(stage.kong.configurationHash, hashOf("b"), "after success delays begin anew");
  });

  it("and never answers is given up after a minute, and looked at again", async () => {
    stage.kong.answerNext("/config", "hang");
    await stage.start();
    await stage.poll(GRACE_POLLS - 1);
    const posted = stage.kong.untilRequest("POST /config");
    await stage.clock.advance(2_000);
    await posted;
    await stage.clock.advance(60_000);
    await stage.settled();
    assert.match(
      inspect(stage.log.find("warn")[0]?.fields),
      /did not finish loading \d+ bytes within 60 s/,
    );
    await stage.poll(3);
    assert.equal(stage.keeper.state.kind, "ours");
  });

  it("but whose answer was only lost is not sent it twice", async () => {
    stage.kong.answerNext("/config", "disconnect");
    await startAndFill();
    assert.equal(stage.keeper.state.kind, "empty");
    stage.kong.configurationHash = hashOf("a");
    await stage.poll(10);
    assert.equal(stage.posts, 1);
    assert.equal(stage.keeper.state.kind, "ours");
  });

  it("but whose answer was only lost follows what came after it", async () => {
    stage.kong.answerNext("/config", "disconnect");
    await startAndFill();
    stage.kong.configurationHash = hashOf("a");
    stage.newest = loadable("b");
    await stage.poll(4);
    assert.equal(stage.kong.configurationHash, hashOf("b"));
  });

  it("in /status, though accepted, is sent it again with a warning", async () => {
    stage.kong.answerNext("/config", { status: 201, body: "{}" }, { status: 201, body: "{}" });
    assert.deepEqual(await stage.postTimes(15), [GRACE_MS, GRACE_MS + 6_000, GRACE_MS + 12_000]);
    assert.equal(stage.log.find("Kong took the snapshot but does not report it").length, 1);
    assert.equal(stage.keeper.state.kind, "ours");
  });
});

describe("a snapshot that cannot be read", () => {
  it("is read again later, and said to be so once", async () => {
    let reads = 0;
    stage.newest = {
      id: "a",
      async config() {
        reads += 1;
        if (reads < 3) throw new SnapshotError("SNAPSHOT_CORRUPT", "the cache of a is damaged");
        return configBytes("a");
      },
    };
    assert.deepEqual(await stage.postTimes(15), [GRACE_MS + 12_000]);
    assert.equal(reads, 3);
    assert.equal(stage.log.find("could not read the snapshot for Kong, will try again").length, 1);
  });

  it("is not read at every look to tell whose config Kong has", async () => {
    let reads = 0;
    stage.newest = {
      id: "a",
      async config() {
        reads += 1;
        throw new SnapshotError("SNAPSHOT_MISSING", "there is no a any more");
      },
    };
    stage.kong.configurationHash = FOREIGN;
    await stage.start();
    await stage.poll(6);
    assert.equal(reads, 3, "5 s apart");
    assert.equal(stage.keeper.state.kind, "foreign");
  });

  it("for any other reason than those foreseen ends the run", async () => {
    const bug = new TypeError("a bug");
    stage.newest = { id: "a", config: () => Promise.reject(bug) };
    await startAndFill();
    assert.equal(await stage.ended(), bug);
  });
});

describe("a snapshot that is not UTF-8", () => {
  it("is loaded undamaged, and from then on nobody's", async () => {
    const head = Buffer.from('{"_format_version":"3.0","x":"');
    const config = Buffer.concat([head, Buffer.from([0xff, 0xfe]), Buffer.from('"}')]);
    stage.newest = loadable("raw", config);
    await startAndFill();
    assert.ok(stage.kong.configs[0]?.body.equals(config));
    assert.equal(stage.log.find("warn").length, 1);
    stage.newest = loadable("b");
    await stage.poll(10);
    assert.equal(stage.posts, 1);
    assert.equal(stage.keeper.state.kind, "foreign");
  });
});
