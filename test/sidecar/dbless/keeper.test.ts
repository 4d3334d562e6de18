/** The keeper of a DB-less Kong: when it fills Kong, and when it keeps its hands off. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "vitest";
import { configBytes } from "../../fakes/config.ts";
import { EMPTY_HASH } from "../../fakes/kong-admin.ts";
import { DblessStage, FOREIGN, GRACE_POLLS, hashOf, loadable } from "./stage.ts";

let stage: DblessStage;
beforeEach(async () => {
  stage = await DblessStage.open();
  stage.newest = loadable("a");
});
afterEach(() => stage[Symbol.asyncDispose]());

/** Kong is empty, and the grace time over. */
async function startAndFill(): Promise<void> {
  await stage.start();
  await stage.poll(GRACE_POLLS);
  assert.equal(stage.kong.configurationHash, hashOf("a"));
}

describe("an empty Kong", () => {
  it("gets the newest snapshot once the grace time is over, and not before", async () => {
    await stage.start();
    const since = stage.keeper.state.since;
    await stage.poll(GRACE_POLLS - 1);
    assert.deepEqual(stage.keeper.state, { kind: "waiting", since });
    assert.equal(stage.posts, 0);
    await stage.poll();
    assert.equal(stage.kong.config, configBytes("a").toString());
    const { kind, ...rest } = stage.keeper.state;
    assert.equal(kind, "ours");
    assert.deepEqual(rest, { hash: hashOf("a"), since: stage.clock.now() });
    assert.deepEqual(stage.messages, [
      "Kong is empty, leaving others time to fill it",
      "Kong has the newest snapshot",
    ]);
    await stage.poll(20);
    assert.equal(stage.posts, 1);
    assert.equal(stage.log.lines.length, 2);
  });

  it("waits for a snapshot to come, and then no longer", async () => {
    stage.newest = undefined;
    await stage.start();
    await stage.poll(GRACE_POLLS + 3);
    assert.equal(stage.keeper.state.kind, "empty");
    assert.equal(stage.log.find("warn").length, 1);
    stage.newest = loadable("a");
    await stage.poll();
    assert.equal(stage.kong.configurationHash, hashOf("a"));
    assert.equal(stage.keeper.state.kind, "ours");
  });

  it("is left to a controller that fills it within the grace time", async () => {
    await stage.start();
    await stage.poll(GRACE_POLLS - 1);
    stage.kong.configurationHash = FOREIGN;
    await stage.poll(3);
    assert.equal(stage.posts, 0);
    const { kind, ...rest } = stage.keeper.state;
    assert.deepEqual([kind, "hash" in rest && rest.hash], ["foreign", FOREIGN]);
  });

  it("is left to a controller that fills it while the snapshot is being read", async () => {
    stage.newest = {
      id: "a",
      async config() {
        stage.kong.configurationHash = FOREIGN;
        return configBytes("a");
      },
    };
    await stage.start();
    await stage.poll(GRACE_POLLS + 5);
    assert.equal(stage.posts, 0);
    assert.equal(stage.keeper.state.kind, "foreign");
  });

  it("is left to a controller that pushes again what our POST has overwritten", async () => {
    await stage.start();
    await stage.poll(GRACE_POLLS - 1);
    stage.kong.answerNext("/config", { status: 201, body: "{}" });
    void stage.kong.untilRequest("POST /config").then(() => {
      stage.kong.configurationHash = FOREIGN;
    });
    await stage.poll();
    assert.equal(stage.posts, 1);
    assert.equal(stage.keeper.state.kind, "foreign");
    stage.newest = loadable("b");
    await stage.poll(10);
    assert.equal(stage.posts, 1);
  });
});

describe("a Kong with somebody else's config", () => {
  it("is never touched, until it is empty again", async () => {
    stage.kong.configurationHash = FOREIGN;
    await stage.start();
    stage.newest = loadable("b");
    await stage.poll(20);
    assert.equal(stage.posts, 0);
    assert.deepEqual(stage.messages, ["Kong has somebody else's config, leaving it alone"]);
    stage.kong.configurationHash = EMPTY_HASH;
    await stage.poll(GRACE_POLLS);
    assert.equal(stage.keeper.state.kind, "waiting", "the grace time begins when it is empty");
    await stage.poll();
    assert.equal(stage.kong.configurationHash, hashOf("b"));
  });

  it("keeps it where it took the place of ours", async () => {
    await startAndFill();
    stage.kong.configurationHash = FOREIGN;
    stage.newest = loadable("b");
    await stage.poll(10);
    assert.equal(stage.posts, 1);
    assert.equal(stage.keeper.state.kind, "foreign");
  });
});

describe("a Kong with our config", () => {
  it("follows newer snapshots at once", async () => {
    await startAndFill();
    stage.newest = loadable("b");
    await stage.poll();
    assert.equal(stage.kong.configurationHash, hashOf("b"));
    const { kind, ...rest } = stage.keeper.state;
    assert.equal(kind, "ours");
    assert.deepEqual(rest, { hash: hashOf("b"), since: stage.clock.now() });
    assert.equal(stage.posts, 2);
  });

  it("is left to a controller that pushes while a newer snapshot is being read", async () => {
    await startAndFill();
    stage.newest = {
      id: "b",
      async config() {
        stage.kong.configurationHash = FOREIGN;
        return configBytes("b");
      },
    };
    await stage.poll(5);
    assert.equal(stage.posts, 1);
    assert.equal(stage.keeper.state.kind, "foreign");
  });

  it("is not sent the same text under another name", async () => {
    await startAndFill();
    stage.newest = loadable("another name", configBytes("a"));
    await stage.poll(3);
    assert.equal(stage.posts, 1);
    stage.newest = loadable("b");
    await stage.poll();
    assert.equal(stage.kong.configurationHash, hashOf("b"));
  });

  it("keeps it while there is no snapshot any more", async () => {
    await startAndFill();
    stage.newest = undefined;
    await stage.poll(3);
    assert.equal(stage.keeper.state.kind, "ours");
    assert.equal(stage.posts, 1);
  });

  it("is known again by the next run of this program while the snapshot is the newest", async () => {
    stage.kong.configurationHash = hashOf("a");
    await stage.start();
    assert.equal(stage.keeper.state.kind, "ours");
    stage.newest = loadable("b");
    await stage.poll();
    assert.equal(stage.kong.configurationHash, hashOf("b"));
  });
});

describe("a Kong that restarts", () => {
  it("empty gets its config again, the grace time later", async () => {
    await startAndFill();
    await stage.stopKong();
    await stage.poll(2);
    assert.equal(stage.keeper.state.kind, "unreachable");
    await stage.startKong();
    await stage.poll(GRACE_POLLS);
    assert.equal(stage.posts, 0);
    await stage.poll();
    assert.equal(stage.kong.configurationHash, hashOf("a"));
    assert.equal(stage.keeper.state.kind, "ours");
  });

  it("with our config in its LMDB is sent nothing but what is newer", async () => {
    await startAndFill();
    await stage.stopKong();
    await stage.poll();
    await stage.startKong(hashOf("a"));
    await stage.poll(10);
    assert.equal(stage.posts, 0);
    stage.newest = loadable("b");
    await stage.poll();
    assert.equal(stage.kong.configurationHash, hashOf("b"));
  });
});
