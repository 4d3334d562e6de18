/** `kong-fallback serve` as a process, and the control plane behind it, which comes and goes. */

import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { HostPort } from "../../src/core/host-port.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { FakeDataPlane, type FakeDataPlaneOptions } from "../fakes/data-plane.ts";
import { Run } from "./cli.ts";
import type { Stage } from "./stage.ts";

/** On free ports, and in no less haste than the settings allow. */
export const HASTE = {
  KONG_FALLBACK_LISTEN: "127.0.0.1:0",
  KONG_FALLBACK_STATUS_LISTEN: "127.0.0.1:0",
  KONG_FALLBACK_RECONNECT_TIME: "0",
  KONG_FALLBACK_RECOVERY_TIME: "0",
  KONG_FALLBACK_RELEASE_TIME: "0",
  KONG_FALLBACK_RETRY_TIME: "0.1",
  KONG_FALLBACK_REFRESH_INTERVAL: "1",
};

export class Sidecar implements AsyncDisposable {
  readonly run: Run;
  readonly address: HostPort;
  readonly #stage: Stage;
  readonly #statusPort: number;
  readonly #planes: FakeDataPlane[] = [];

  private constructor(run: Run, stage: Stage, port: number, statusPort: number) {
    this.run = run;
    this.#stage = stage;
    this.address = { host: "127.0.0.1", port };
    this.#statusPort = statusPort;
  }

  /** Listens when this resolves. `environment` is laid over the stage's; an empty value unsets. */
  static async start(
    stage: Stage,
    controlPlanePort: number,
    environment: Readonly<Record<string, string>> = {},
  ): Promise<Sidecar> {
    const all = stage.environment(controlPlanePort, { ...HASTE, ...environment });
    const run = new Run(["serve"], all);
    try {
      const { port } = await run.logged("fallback control plane listens");
      const { port: statusPort } = await run.logged("status server listens");
      return new Sidecar(run, stage, Number(port), Number(statusPort));
    } catch (error) {
      await run[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Not connected yet; disposed of with the sidecar. */
  plane(changes: Partial<FakeDataPlaneOptions> = {}): FakeDataPlane {
    const { address: controlPlane } = this;
    const { tls } = this.#stage;
    const plane = new FakeDataPlane({ controlPlane, tls, clock: systemClock, ...changes });
    this.#planes.push(plane);
    return plane;
  }

  async get(path: string): Promise<{ readonly status: number; readonly body: string }> {
    const response = await fetch(`http://127.0.0.1:${this.#statusPort}${path}`);
    return { status: response.status, body: await response.text() };
  }

  /** `/status.json`. */
  async status(): Promise<Record<string, unknown>> {
    const { body } = await this.get("/status.json");
    return JSON.parse(body) as Record<string, unknown>;
  }

  /** Its exit status. */
  stop(): Promise<number | string | null> {
    this.run.signal("SIGTERM");
    return this.run.ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const plane of this.#planes) await plane[Symbol.asyncDispose]();
    await this.run[Symbol.asyncDispose]();
  }
}

/** One address all along: leads to a control plane, or refuses connections as that of a killed process does. */
export class Gate implements AsyncDisposable {
  readonly port: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  private constructor(port: number) {
    this.port = port;
  }

  /** Shut. */
  static async shut(): Promise<Gate> {
    const server = await listen(0, () => {});
    const address = server.address();
    const gate = new Gate(typeof address === "object" ? (address?.port ?? 0) : 0);
    gate.#server = server;
    await gate.shut();
    return gate;
  }

  async open(to: HostPort): Promise<void> {
    this.#server = await listen(this.port, (socket) => {
      const onward = connect(to.port, to.host);
      for (const [from, into] of [
        [socket, onward],
        [onward, socket],
      ] as const) {
        this.#sockets.add(from);
        from.on("error", () => {}).on("close", () => into.destroy());
        from.pipe(into);
      }
    });
  }

  async shut(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
    if (this.#server?.listening !== true) return;
    this.#server.close();
    await once(this.#server, "close");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shut();
  }
}

async function listen(port: number, take: (socket: Socket) => void): Promise<Server> {
  const server = createServer(take).listen(port, "127.0.0.1");
  await once(server, "listening");
  return server;
}
