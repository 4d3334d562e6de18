import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { BINARY, encodeFrame } from "../../fakes/websocket-frames.ts";
import { HASH, SMALL } from "../../source/harness.ts";
import { largeConfig, Stage, type StageOptions } from "../stage.ts";

const { frame: LONG, snapshot: LONG_SNAPSHOT } = largeConfig("long", 15_000_000);

interface Scene {
  readonly what: string;
  readonly options?: StageOptions;
  /** Brings a data plane into this situation. */
  readonly play: (stage: Stage) => Promise<unknown>;
}

const SCENES: readonly Scene[] = [
  {
    what: "has not introduced itself",
    options: { behind: {} },
    play: (stage) => stage.plane({ behaviour: { silentAfterOpen: true } }),
  },
  {
    what: "does not answer a close frame",
    options: { behind: {} },
    async play(stage) {
      const plane = await stage.plane({ behaviour: { silentAfterOpen: true, stopsReading: true } });
      plane.send(BINARY, Buffer.from("garbage"));
      await stage.said("data plane did not begin with basic_info, connection closed");
      plane.resume();
    },
  },
  {
    what: "is being connected with a control plane that hangs",
    options: { behind: {} },
    async play(stage) {
      await stage.revive({ hangs: true });
      const asked = stage.controlPlane.asked();
      await stage.plane();
      await asked;
    },
  },
  {
    what: "is live",
    options: { behind: { config: SMALL } },
    play: async (stage) => (await stage.plane()).configured(),
  },
  {
    what: "waits for a slot, half a config being there",
    options: { behind: {}, maxPayloadBytes: 2 ** 27 },
    async play(stage) {
      for (let n = 0; n < 3; n += 1) {
        const upstream = await stage.upstreamOf(await stage.plane());
        upstream.write(encodeFrame(BINARY, LONG).subarray(0, 500_000));
      }
    },
  },
  {
    what: "has been passed on half a config it does not read",
    options: { behind: {} },
    async play(stage) {
      const plane = await stage.plane({ behaviour: { stopsReading: true } });
      (await stage.upstreamOf(plane)).sendConfig(LONG);
      await stage.until(() => stage.passed.length === 1);
      plane.resume();
    },
  },
  {
    what: "waits for its connection to the control plane to be made again",
    options: { behind: { config: SMALL } },
    async play(stage) {
      await (await stage.plane()).configured();
      await stage.controlPlane.kill();
      await stage.said("connection to the control plane broke");
    },
  },
  {
    what: "is in fallback, with a config that was sent and not acknowledged",
    async play(stage) {
      await stage.shelve("a");
      const plane = await stage.plane({ behaviour: { race: 1 } });
      await plane.until(() => plane.refused.length === 1);
    },
  },
  {
    what: "is in fallback, with a snapshot half sent",
    async play(stage) {
      await stage.put(LONG_SNAPSHOT, LONG);
      const plane = await stage.plane({ behaviour: { stopsReading: true } });
      const session = await stage.sessionOf(plane);
      await stage.until(() => session.hash !== undefined);
      plane.resume();
    },
  },
  {
    what: "is in fallback with a config of its own",
    async play(stage) {
      await stage.shelve("a");
      await stage.settled(await stage.plane({ hash: HASH }));
    },
  },
  {
    what: "is given no config by its control plane",
    options: { behind: {} },
    async play(stage) {
      await stage.plane();
      await stage.passUntil(() => stage.log.find("control plane sends no config").length > 0);
    },
  },
];

describe("when the sidecar is closed, nothing is left of a data plane that", () => {
  for (const { what, options, play } of SCENES) {
    it(what, async () => {
      await using stage = await Stage.open(options);
      await play(stage);
      const planes = [...stage.sidecar.planes];
      assert.ok(planes.length > 0);
      await stage.sidecar[Symbol.asyncDispose]();
      assert.deepEqual(stage.sidecar.planes, []);
      if (options !== undefined) await stage.controlPlane.deserted();
    });

    it(`${what}, and it goes by itself`, async () => {
      await using stage = await Stage.open(options);
      await play(stage);
      await stage.leave();
      await stage.until(() => stage.sidecar.planes.length === 0);
      if (options !== undefined) await stage.controlPlane.deserted();
    });
  }
});
