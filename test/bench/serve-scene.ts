/** The stage of the benches of `serve`: starts serve-child.ts, compiled first, for Node 20 cannot run TypeScript. */

import { type ChildProcess, execFile, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { systemClock } from "../../src/runtime/clock.ts";
import { Stage } from "../e2e/stage.ts";
import { FakeDataPlane } from "../fakes/data-plane.ts";
import type { Connected, Order, Part } from "./serve-child.ts";
import type { BenchConfig } from "./serve-config.ts";

const run = promisify(execFile);
const CHILD = fileURLToPath(new URL("serve-child.ts", import.meta.url));
const PROJECT = fileURLToPath(new URL("../..", import.meta.url));

/** Nothing listens there. */
const DEAD_PORT = 1;

/** Nothing takes this long: where no answer comes, something is broken. */
const REPLY_MS = 120_000;
/** USER_HZ is 100 on every Linux there is. */
const MS_PER_TICK = 10;

/** What a process used. Linux only. */
export interface Usage {
  /** Resident memory now. */
  readonly bytes: number;
  /** Most since the last time it was asked. */
  readonly peakBytes: number;
  readonly cpuMs: number;
}

/** A process that plays a part. */
export class Player {
  /** 0 for data planes. */
  readonly port: number;
  readonly #child: ChildProcess;

  constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  measure(): Usage {
    const proc = `/proc/${this.#child.pid}`;
    const status = readFileSync(`${proc}/status`, "utf8");
    const bytes = (name: string): number =>
      Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) * 1024;
    // Sets VmHWM back: proc(5).
    writeFileSync(`${proc}/clear_refs`, "5");
    const stat = readFileSync(`${proc}/stat`, "utf8");
    const [, user, system] = /\) (?:\S+ ){11}(\d+) (\d+)/.exec(stat) ?? [];
    const cpuMs = (Number(user) + Number(system)) * MS_PER_TICK;
    return { bytes: bytes("VmRSS"), peakBytes: bytes("VmHWM"), cpuMs };
  }

  connect(): Promise<Connected> {
    return this.#tell({ kind: "connect" });
  }

  async send(times: number): Promise<void> {
    await this.#tell<null>({ kind: "send", times });
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async #tell<T>(order: Order): Promise<T> {
    this.#child.send(order);
    return reply(this.#child);
  }
}

/** One config, one cluster certificate, and whoever plays. Disposed of at once: tinybench does not wait for a teardown. */
export class Scene implements Disposable {
  readonly #stage: Stage;
  readonly #load: BenchConfig;
  readonly #players: Player[] = [];

  private constructor(stage: Stage, load: BenchConfig) {
    this.#stage = stage;
    this.#load = load;
  }

  static async open(load: BenchConfig): Promise<Scene> {
    const stage = await Stage.open();
    await writeFile(stage.path("config.json"), load.config);
    await compile(stage.path("js"));
    return new Scene(stage, load);
  }

  get tls() {
    return this.#stage.tls;
  }

  /** By default the control plane is dead. */
  sidecar(controlPlanePort = DEAD_PORT): Promise<Player> {
    return this.#start({ kind: "sidecar", configHash: this.#load.configHash, controlPlanePort });
  }

  naive(): Promise<Player> {
    return this.#start({ kind: "naive", configHash: this.#load.configHash });
  }

  controlPlane(): Promise<Player> {
    return this.#start({ kind: "control plane", configHash: this.#load.configHash });
  }

  dataPlanes(count: number, { port }: Player): Promise<Player> {
    const { configHash } = this.#load;
    return this.#start({ kind: "data planes", configHash, count, port });
  }

  /** One in this process, not connected yet. */
  dataPlane({ port }: Player): FakeDataPlane {
    return new FakeDataPlane({
      controlPlane: { host: "127.0.0.1", port },
      tls: this.tls,
      clock: systemClock,
      behaviour: { adopts: this.#load.configHash },
    });
  }

  [Symbol.dispose](): void {
    for (const player of this.#players) player.kill();
    rmSync(this.#stage.directory, { recursive: true, force: true });
  }

  async #start(part: Part): Promise<Player> {
    const { directory } = this.#stage;
    const script = this.#stage.path("js/test/bench/serve-child.js");
    const child = fork(script, [JSON.stringify(part), directory], { execArgv: ["--expose-gc"] });
    const player = new Player(child, await reply<number>(child));
    this.#players.push(player);
    return player;
  }
}

async function reply<T>(child: ChildProcess): Promise<T> {
  const over = new AbortController();
  const signal = AbortSignal.any([over.signal, AbortSignal.timeout(REPLY_MS)]);
  try {
    return await Promise.race([
      once(child, "message", { signal }).then(([message]) => message as T),
      once(child, "exit", { signal }).then(([status, name]) => {
        throw new Error(`a process of the bench ended with ${status ?? name}`);
      }),
    ]);
  } finally {
    over.abort();
  }
}

async function compile(out: string): Promise<void> {
  const typescript = createRequire(import.meta.url).resolve("typescript/package.json");
  const tsc = join(dirname(typescript), "bin/tsc");
  const flags = "--ignoreConfig --noCheck --module nodenext --target es2023 --types node";
  const more = ["--rewriteRelativeImportExtensions", "--rootDir", PROJECT, "--outDir", out, CHILD];
  await run(process.execPath, [tsc, ...flags.split(" "), ...more], { cwd: PROJECT });
  await writeFile(join(out, "package.json"), '{"type":"module"}');
  await symlink(join(PROJECT, "node_modules"), join(out, "node_modules"));
  await symlink(join(PROJECT, "test/fixtures"), join(out, "test/fixtures"));
}
