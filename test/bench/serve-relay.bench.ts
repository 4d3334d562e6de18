/** What the sidecar costs while the control plane lives: pings and configs through it, beside the same without it. */

import { bench, describe } from "vitest";
import type { FakeDataPlane } from "../fakes/data-plane.ts";
import { PING } from "../fakes/websocket-frames.ts";
import { type BenchConfig, denseConfig, smallConfig } from "./serve-config.ts";
import { type Player, Scene } from "./serve-scene.ts";

/** A control plane, perhaps a sidecar, and a data plane that has its config. */
class Line implements Disposable {
  readonly controlPlane: Player;
  readonly plane: FakeDataPlane;
  /** Length of the config as it travels. */
  readonly frameBytes: number;
  readonly #scene: Scene;

  private constructor(scene: Scene, controlPlane: Player, plane: FakeDataPlane) {
    this.#scene = scene;
    this.controlPlane = controlPlane;
    this.plane = plane;
    this.frameBytes = plane.bytesReceived;
  }

  static async open(load: BenchConfig, hasSidecar: boolean): Promise<Line> {
    const scene = await Scene.open(load);
    const controlPlane = await scene.controlPlane();
    const plane = scene.dataPlane(
      hasSidecar ? await scene.sidecar(controlPlane.port) : controlPlane,
    );
    await plane.connect();
    await plane.configured(load.configHash);
    return new Line(scene, controlPlane, plane);
  }

  [Symbol.dispose](): void {
    this.plane.drop();
    this.#scene[Symbol.dispose]();
  }
}

const small = smallConfig();
const dense = denseConfig();
const CONFIGS = 10;

describe("a data plane's ping until it is answered, control plane alive", () => {
  compare(small, 500, async ({ plane }) => {
    const answered = plane.pongs + 1;
    plane.send(PING, Buffer.from(small.configHash));
    await plane.until(() => plane.pongs >= answered);
  });
});

describe(`${CONFIGS} times a ${dense.name}, one after the other, control plane alive`, () => {
  compare(dense, 5, async ({ plane, controlPlane, frameBytes }) => {
    const until = plane.bytesReceived + CONFIGS * frameBytes;
    await controlPlane.send(CONFIGS);
    await plane.until(() => plane.bytesReceived >= until);
  });
});

function compare(load: BenchConfig, iterations: number, run: (line: Line) => Promise<void>): void {
  for (const hasSidecar of [true, false]) {
    let line: Line;
    bench(hasSidecar ? "through the sidecar" : "floor: directly", () => run(line), {
      iterations,
      time: 0,
      warmupIterations: 0,
      warmupTime: 0,
      async setup(_task, mode) {
        if (mode === "run") line = await Line.open(load, hasSidecar);
      },
      teardown(_task, mode) {
        if (mode === "run") line[Symbol.dispose]();
      },
    });
  }
}
