/** The demo's data plane: the project's own client, which takes a config and reports it, as a real one does. */

import type { ConfigUpdate } from "../../kong/reconfigure.ts";
import type { KongVersion } from "../../kong/version.ts";
import { nodeIdFor } from "../../runtime/node-id.ts";
import { readSettings } from "../../runtime/settings.ts";
import type { ConfigSource, SourceEvent } from "../../source/port.ts";
import { openHybridSource, requireCluster } from "../cluster.ts";
import { promise } from "./report.ts";
import { environmentFor, type Stage } from "./stage.ts";

/** Longest wait for a config. */
const PATIENCE_MS = 10_000;

export class DemoDataPlane implements AsyncDisposable {
  readonly nodeId: string;
  readonly #stage: Stage;
  readonly #source: ConfigSource;
  readonly #over = new AbortController();
  /** One session: it ends if the connection does. */
  readonly #events: AsyncIterator<SourceEvent>;

  private constructor(stage: Stage, source: ConfigSource, nodeId: string) {
    this.nodeId = nodeId;
    this.#stage = stage;
    this.#source = source;
    this.#events = source.watch(this.#over.signal)[Symbol.asyncIterator]();
  }

  /** `port`: of the control plane, or of what stands in its place. Connects with the first `nextConfig`. */
  static async create(stage: Stage, port: number, version: KongVersion): Promise<DemoDataPlane> {
    const settings = readSettings(environmentFor(stage, port));
    const cluster = requireCluster("a data plane", settings);
    const nodeId = nodeIdFor("demo", "data plane");
    const source = await openHybridSource({
      settings,
      cluster,
      nodeId,
      hostname: "demo-data-plane",
      version,
      clock: stage.context.clock,
    });
    return new DemoDataPlane(stage, source, nodeId);
  }

  /** Takes the next config and reports its hash. Rejects with BrokenPromise if none comes, or with SourceError if the connection ends. */
  async nextConfig(): Promise<ConfigUpdate> {
    const { clock } = this.#stage.context;
    const late = new AbortController();
    const update = await Promise.race([
      this.#next(),
      clock.sleep(PATIENCE_MS, late.signal).then(() => undefined),
    ]).finally(() => late.abort());
    promise(update !== undefined, `no config came within ${PATIENCE_MS / 1000} s`);
    if (update.configHash !== undefined) this.#source.acknowledge(update.configHash);
    return update;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#source[Symbol.asyncDispose]();
  }

  async #next(): Promise<ConfigUpdate | undefined> {
    for (;;) {
      const { value, done } = await this.#events.next();
      if (done === true) return undefined;
      if (value.kind === "config") return value.update;
    }
  }
}
