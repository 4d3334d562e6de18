/** What a surface is driven in: the program with a canary in every secret it can be given, all it talks to, and the search of all that comes out. */

import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { systemClock } from "../../src/runtime/clock.ts";
import { Archive } from "../../src/snapshots/archive.ts";
import { PLAIN_SEAL } from "../../src/snapshots/seal/seal.ts";
import { FileStore } from "../../src/store/file.ts";
import { Run } from "../e2e/cli.ts";
import { Stage } from "../e2e/stage.ts";
import { NEWER, V391 } from "../fakes/config.ts";
import { FakeControlPlane } from "../fakes/control-plane.ts";
import { FakeKongAdmin } from "../fakes/kong-admin.ts";
import { FakeProxy } from "../fakes/proxy.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { FakeS3 } from "../fakes/s3-server.ts";
import type { Canaries, Group } from "./canaries.ts";
import { filesOf, requestsOf } from "./search.ts";
import type { Planted } from "./secrets.ts";

type Environment = Readonly<Record<string, string>>;

export interface RunOptions {
  readonly env?: Environment;
  /** Groups that may stand on standard output: it was asked for. */
  readonly stdout?: readonly Group[];
  /** What the exit status has to be; absent: whatever. */
  readonly status?: number;
}

/** One thing that came out, and what of canaries stood in it. */
interface Seen {
  readonly where: string;
  readonly leaks: ReturnType<Canaries["find"]>;
}

export class World implements AsyncDisposable {
  readonly stage: Stage;
  readonly planted: Planted;
  readonly s3: FakeS3;
  readonly kong: FakeKongAdmin;
  readonly proxy: FakeProxy;
  readonly controlPlane: FakeControlPlane;
  /** Commands that were run, as `snapshots list`. */
  readonly commands = new Set<string>();
  /** Whether what is saved must be encrypted: then no config may be found in the store or the cache. */
  isSealed = false;
  readonly #seen: Seen[] = [];
  readonly #resources: AsyncDisposable[];
  readonly #runs: Run[] = [];

  private constructor(
    stage: Stage,
    planted: Planted,
    servers: readonly [FakeS3, FakeKongAdmin, FakeProxy, FakeControlPlane],
  ) {
    this.stage = stage;
    this.planted = planted;
    [this.s3, this.kong, this.proxy, this.controlPlane] = servers;
    this.#resources = [...servers, stage];
  }

  static async open(planted: Planted): Promise<World> {
    const stage = await Stage.open(planted.pair);
    const [s3, kong, proxy] = [
      await FakeS3.start(),
      await FakeKongAdmin.start(),
      await FakeProxy.listen(),
    ];
    const { frame } = planted.newer;
    const controlPlane = await FakeControlPlane.listen({ tls: stage.tls, config: frame });
    kong.token = planted.adminToken;
    for (const name of ["tmp", "cwd"]) await mkdir(stage.path(name));
    return new World(stage, planted, [s3, kong, proxy, controlPlane]);
  }

  get canaries(): Canaries {
    return this.planted.canaries;
  }

  /** Every secret setting is set, whether the command needs it or not. */
  environment(more: Environment = {}): Record<string, string> {
    return {
      ...this.stage.environment(this.controlPlane.address.port),
      ...this.planted.environment,
      KONG_PROXY_SERVER: this.proxyUrl(),
      AWS_CONFIG_STORAGE_ENDPOINT: this.s3.endpoint,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: "fake-key-id",
      AWS_EC2_METADATA_DISABLED: "true",
      KONG_FALLBACK_LISTEN: "127.0.0.1:0",
      KONG_FALLBACK_STATUS_LISTEN: "127.0.0.1:0",
      KONG_FALLBACK_SHUTDOWN_TIMEOUT: "0.2",
      KONG_LOG_LEVEL: "debug",
      NO_COLOR: "1",
      // With `shared` there is no such certificate; the surfaces of `pki` set it.
      KONG_FALLBACK_SERVER_CERT: "",
      KONG_FALLBACK_SERVER_CERT_KEY: "",
      HOME: this.stage.path("cwd"),
      TMPDIR: this.stage.path("tmp"),
      ...more,
    };
  }

  /** With a certificate of the sidecar's own. */
  pki(): Record<string, string> {
    const { environment, pair } = this.planted;
    const own = Object.entries(environment).filter(([name]) => name.includes("SERVER_CERT"));
    return {
      KONG_CLUSTER_MTLS: "pki",
      KONG_CLUSTER_CA_CERT: pair.cert,
      ...Object.fromEntries(own),
    };
  }

  /** From now on all is signed and encrypted: the settings for it, to be given to what writes and what reads. */
  seal(): Readonly<Record<string, string>> {
    this.isSealed = true;
    return this.planted.sealing.environment;
  }

  proxyUrl(port = this.proxy.port): string {
    return `http://user:${this.planted.proxyPassword}@127.0.0.1:${port}`;
  }

  /** The configs of the plan as an exporter leaves them in the file store: the older in the history, the newer current. */
  async save(seal = this.isSealed ? this.planted.sealing.seal : PLAIN_SEAL): Promise<void> {
    const { older, newer } = this.planted;
    const directory = this.stage.path("store");
    const url = `file://${directory}`;
    await using store = new FileStore({ url, directory, clock: systemClock });
    const archive = new Archive({
      store,
      kongVersion: V391,
      seal,
      maxConfigBytes: 1_000_000,
      keepHistory: true,
      log: new RecordingLog(),
    });
    for (const { snapshot } of [older, newer]) {
      await archive.save(
        snapshot,
        { conditional: true, provenance: NEWER },
        new AbortController().signal,
      );
    }
  }

  /** Ids of the history in the file store, the newest first. */
  async ids(): Promise<readonly [string, string]> {
    const names = await readdir(this.stage.path("store", "3.9.1", "history"));
    const ids = names
      .filter((name) => name.endsWith(".json.gz"))
      .map((name) => name.slice(0, -".json.gz".length));
    const [newer, older] = ids.sort().reverse();
    assert.ok(newer !== undefined && older !== undefined);
    return [newer, older];
  }

  /** Runs it to its end. */
  async run(argv: readonly string[], options: RunOptions = {}): Promise<Run> {
    const run = this.start(argv, options);
    await this.#finish(run, argv, options);
    return run;
  }

  /** To be ended by `stop`. */
  start(argv: readonly string[], { env = {}, stdout = [] }: RunOptions = {}): Run {
    const [command = "", action = ""] = argv;
    this.commands.add(/^(snapshots|keys)$/.test(command) ? `${command} ${action}` : command);
    const run = new Run(argv, this.environment(env), this.stage.path("cwd"));
    this.#runs.push(run);
    const chunks: Buffer[] = [];
    run.child.stderr?.on("data", (chunk: Buffer) => chunks.push(chunk));
    run.child.once("close", () => {
      this.saw(`standard error of ${argv.join(" ")}`, Buffer.concat(chunks));
      this.saw(`standard output of ${argv.join(" ")}`, run.stdout, stdout);
    });
    return run;
  }

  async stop(run: Run): Promise<void> {
    run.signal("SIGTERM");
    assert.equal(await run.ended(), 143, run.stderr.join("\n"));
  }

  /** Every page of the status server, and one that is not there. */
  async visit(run: Run): Promise<void> {
    const { port } = await run.logged("status server listens");
    for (const page of ["livez", "readyz", "metrics", "status.json", "", "other?x=1"]) {
      const response = await fetch(`http://127.0.0.1:${String(port)}/${page}`);
      const headers = JSON.stringify([...response.headers]);
      this.saw(`page /${page}`, `${headers}\n${await response.text()}`);
    }
  }

  /** Notes what of canaries stands in `bytes`, for `leaks`. */
  saw(where: string, bytes: Uint8Array | string, allowed: readonly Group[] = []): void {
    this.#seen.push({ where, leaks: this.canaries.find(bytes, allowed) });
  }

  /** All that leaked so far, one line each; looks through requests and files first. */
  async leaks(): Promise<readonly string[]> {
    for (const { where, bytes, allowed } of requestsOf(this)) this.saw(where, bytes, allowed);
    for await (const { where, bytes, allowed } of filesOf(this)) this.saw(where, bytes, allowed);
    const lines = this.#seen.flatMap(({ where, leaks }) =>
      leaks.map(({ canary, form }) => `${where}: ${canary} (${form})`),
    );
    return [...new Set(lines)];
  }

  /** How many bytes or texts were searched. */
  get searched(): number {
    return this.#seen.length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const run of this.#runs) await run[Symbol.asyncDispose]();
    for (const resource of this.#resources) await resource[Symbol.asyncDispose]();
  }

  async #finish(run: Run, argv: readonly string[], { status }: RunOptions): Promise<void> {
    const ended = await run.ended();
    if (status === undefined) return;
    assert.equal(ended, status, `${argv.join(" ")}:\n${run.stderr.join("\n")}`);
  }

  /** A file that the test gives to the program. */
  async give(name: string, content: Uint8Array | string): Promise<string> {
    await mkdir(this.stage.path("given"), { recursive: true });
    const path = this.stage.path("given", name);
    await writeFile(path, content);
    return path;
  }
}
