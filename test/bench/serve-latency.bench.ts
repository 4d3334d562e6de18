/** From "a new data plane connects, the control plane is dead" to "it has acknowledged its config", beside `ws` alone. */

import { once } from "node:events";
import { type BenchOptions, bench, describe } from "vitest";
import { WebSocket } from "ws";
import { denseConfig, richConfig, smallConfig } from "./serve-config.ts";
import { type Player, Scene } from "./serve-scene.ts";

for (const load of [smallConfig(), richConfig(), denseConfig()]) {
  describe(`a new data plane, control plane dead, ${load.name}`, () => {
    let scene: Scene;
    let server: Player;
    const options = (play: () => Promise<Player>): BenchOptions => ({
      iterations: 50,
      time: 0,
      warmupIterations: 0,
      warmupTime: 0,
      async setup(_task, mode) {
        if (mode !== "run") return;
        scene = await Scene.open(load);
        server = await play();
      },
      teardown(_task, mode) {
        if (mode === "run") scene[Symbol.dispose]();
      },
    });
    bench(
      "sidecar: connect, get the config, report its hash, have that answered",
      async () => {
        await using plane = scene.dataPlane(server);
        await plane.connect();
        await plane.configured(load.configHash);
        await plane.until(() => plane.pongs > 1);
      },
      options(() => scene.sidecar()),
    );
    bench(
      "peer: connect and get the same frame, ws alone on both sides",
      async () => {
        const { cert, key } = scene.tls;
        const webSocket = new WebSocket(`wss://127.0.0.1:${server.port}`, {
          cert,
          key: key.reveal(),
          rejectUnauthorized: false,
          perMessageDeflate: false,
        });
        await once(webSocket, "open");
        webSocket.send("begin");
        await once(webSocket, "message");
        webSocket.terminate();
      },
      options(() => scene.naive()),
    );
  });
}
