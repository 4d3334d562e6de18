/** Many data planes at once, control plane dead, a config of 10 MB compressed: how long, how much memory, how much CPU the sidecar needs. Linux only. */

import { bench, describe } from "vitest";
import type { Connected } from "./serve-child.ts";
import { denseConfig, size } from "./serve-config.ts";
import { type Player, Scene, type Usage } from "./serve-scene.ts";

const load = denseConfig();

for (const count of [1, 100, 1000]) {
  describe(`${count} data planes get a ${load.name}`, () => {
    // A thousand would need 10 GB.
    if (count < 1000) serve("peer: ws.send to everybody", count, (scene) => scene.naive());
    serve("sidecar", count, (scene) => scene.sidecar());
  });
}

function serve(name: string, count: number, play: (scene: Scene) => Promise<Player>): void {
  let scene: Scene;
  let server: Player;
  let dataPlanes: Player;
  let idle: Usage;
  let connected: Connected;
  const iterations = count < 1000 ? 3 : 1;
  bench(
    name,
    async () => {
      connected = await dataPlanes.connect();
    },
    {
      iterations,
      time: 0,
      warmupIterations: 0,
      warmupTime: 0,
      async setup(_task, mode) {
        if (mode !== "run") return;
        scene = await Scene.open(load);
        server = await play(scene);
        dataPlanes = await scene.dataPlanes(count, server);
        idle = server.measure();
      },
      teardown(_task, mode) {
        if (mode !== "run") return;
        const used = server.measure();
        scene[Symbol.dispose]();
        const { bytesReceived, failures } = connected;
        const cpuSeconds = (used.cpuMs - idle.cpuMs) / iterations / 1000;
        process.stdout.write(
          `${name}, ${count}: memory ${size(idle.bytes)} idle, ${size(used.peakBytes)} at most; CPU ${cpuSeconds.toFixed(1)} s; ${size(bytesReceived / count)} to each; ${failures} attempts failed\n`,
        );
      },
    },
  );
}
