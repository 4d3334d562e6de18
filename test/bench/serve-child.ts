/** A process of its own that plays one part in the benches of `serve`, so that its memory is measured alone. Run by serve-scene.ts. */

import { readFileSync } from "node:fs";
import https from "node:https";
import { join } from "node:path";
import { inspect } from "node:util";
import { WebSocketServer } from "ws";
import { Secret } from "../../src/core/secret.ts";
import type { ClusterTls } from "../../src/kong/cluster-tls.ts";
import { encodeReconfigure } from "../../src/kong/reconfigure.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { FallbackControlPlane } from "../../src/sidecar/control-plane.ts";
import { Shelf } from "../../src/sidecar/shelf/shelf.ts";
import { ClusterDialer } from "../../src/source/dialer.ts";
import { sharedTls } from "../fakes/certificates.ts";
import { snapshotOf } from "../fakes/config.ts";
import { FakeControlPlane } from "../fakes/control-plane.ts";
import { FakeDataPlane } from "../fakes/data-plane.ts";

/** Which, and with what. The cluster's certificate and the config lie in the directory. */
export type Part =
  /** The product. */
  | { readonly kind: "sidecar"; readonly configHash: string; readonly controlPlanePort: number }
  /** `ws` alone: the frame to everybody who sends a message. */
  | { readonly kind: "naive"; readonly configHash: string }
  | { readonly kind: "control plane"; readonly configHash: string }
  | {
      readonly kind: "data planes";
      readonly count: number;
      readonly port: number;
      readonly configHash: string;
    };

export type Order =
  /** `data planes`: new ones connect and go once each has told that it runs the config. */
  | { readonly kind: "connect" }
  /** `control plane`: sends the config so often to whoever connected last. */
  | { readonly kind: "send"; readonly times: number };

export interface Connected {
  /** Configs, as they travelled, to all of them. */
  readonly bytesReceived: number;
  /** Attempts that failed. */
  readonly failures: number;
}

/** As `settings/table.ts` has them by default. */
const LIMITS = { maxConnections: 4_096, handshakesPerSecond: 200 };
const TIMING = {
  retryMs: 5_000,
  reconnectMs: 10_000,
  recoveryMs: 10_000,
  releaseMs: 30_000,
  configWaitMs: 10_000,
};
const MAX_PAYLOAD_BYTES = 16_777_216;
const HOST = "127.0.0.1";
const never = new AbortController().signal;
const nothing = (): void => {};

/** Plays the part until the process is killed. Resolves, when it is ready, to its port. */
async function play(part: Part, directory: string): Promise<number> {
  const read = (name: string): Buffer => readFileSync(join(directory, name));
  const key = new Secret(read("cluster.key").toString());
  const tls = await sharedTls({ cert: read("cluster.crt").toString(), key });
  switch (part.kind) {
    case "sidecar":
      return playSidecar(part, read("config.json"), tls);
    case "naive":
      return playNaive(await frameOf(part, read("config.json")), tls);
    case "control plane": {
      const config = await frameOf(part, read("config.json"));
      const controlPlane = await FakeControlPlane.listen({ tls, config });
      answer("send", async ({ times }) => {
        for (let i = 0; i < times; i += 1) controlPlane.sessions.at(-1)?.sendConfig(config);
      });
      return controlPlane.address.port;
    }
    case "data planes":
      answer("connect", () => connect(part, tls));
      return 0;
    default:
      return part satisfies never;
  }
}

async function playSidecar(
  { configHash, controlPlanePort }: Part & { kind: "sidecar" },
  config: Buffer,
  tls: ClusterTls,
): Promise<number> {
  const shelf = new Shelf();
  const overrides = { configHash, hashes: { config: configHash }, bytes: config.length };
  await shelf.offer({ ...snapshotOf("bench", overrides), config }, "store");
  let decided = nothing;
  const upstreamDecided = new Promise<void>((resolve) => {
    decided = resolve;
  });
  const controlPlane = await FallbackControlPlane.listen({
    host: HOST,
    port: 0,
    tls,
    limits: LIMITS,
    dialer: new ClusterDialer({
      controlPlane: { host: HOST, port: controlPlanePort },
      proxy: undefined,
      loadTls: async () => tls,
      maxPayloadBytes: MAX_PAYLOAD_BYTES,
      clock: systemClock,
    }),
    probeTarget: "/v1/outlet?node_id=probe&node_version=3.9.1",
    inquiry: {
      target: () => "/v1/outlet?node_id=probe&node_version=3.9.1",
      plugins: [],
    },
    timing: TIMING,
    maxPayloadBytes: MAX_PAYLOAD_BYTES,
    shelf,
    onVersion: nothing,
    remember: undefined,
    clock: systemClock,
    random: Math.random,
    log: { debug: nothing, info: nothing, warn: nothing, error: complain },
    metrics: {
      upstream: (kind) => kind !== "connecting" && decided(),
      served: nothing,
      resent: nothing,
      rejected: nothing,
      distrusted: () => {},
      unserved: nothing,
    },
  });
  void controlPlane.run(never);
  await upstreamDecided;
  return controlPlane.port;
}

async function playNaive(frame: Uint8Array, tls: ClusterTls): Promise<number> {
  const server = https.createServer({
    cert: tls.cert,
    key: tls.key.reveal(),
    requestCert: true,
    rejectUnauthorized: false,
  });
  const webSockets = new WebSocketServer({ server, perMessageDeflate: false });
  webSockets.on("connection", (webSocket) => {
    webSocket.on("error", nothing);
    webSocket.once("message", () => webSocket.send(frame));
  });
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  const address = server.address();
  return typeof address === "object" ? (address?.port ?? 0) : 0;
}

function frameOf({ configHash }: { readonly configHash: string }, configTable: Buffer) {
  const hashes = { config: configHash };
  return encodeReconfigure({ configTable, configHash, hashes, timestamp: 1_795_220_000 });
}

async function connect(
  { count, port, configHash }: Part & { kind: "data planes" },
  tls: ClusterTls,
): Promise<Connected> {
  const planes = Array.from(
    { length: count },
    () =>
      new FakeDataPlane({
        controlPlane: { host: HOST, port },
        tls,
        clock: systemClock,
        random: Math.random,
        behaviour: { adopts: configHash },
      }),
  );
  for (const plane of planes) void plane.run(never);
  await Promise.all(planes.map((plane) => plane.configured(configHash)));
  await Promise.all(planes.map((plane) => plane[Symbol.asyncDispose]()));
  return {
    bytesReceived: planes.reduce((sum, { bytesReceived }) => sum + bytesReceived, 0),
    failures: planes.reduce((sum, { failures }) => sum + failures.length, 0),
  };
}

/** A bench in which something goes wrong shows nothing. */
function complain(fields: object, message: string): void {
  process.stderr.write(`${message}: ${inspect(fields)}\n`);
}

function answer<K extends Order["kind"]>(
  kind: K,
  obey: (order: Order & { readonly kind: K }) => Promise<unknown>,
): void {
  process.on("message", (order: Order & { readonly kind: K }) => {
    if (order.kind === kind) void obey(order).then((reply) => process.send?.(reply ?? null));
  });
}

const [part = "", directory = ""] = process.argv.slice(2);
process.once("disconnect", () => process.exit());
const port = await play(JSON.parse(part) as Part, directory);
// What is left of packing the config is no memory that serving takes.
globalThis.gc?.();
process.send?.(port);
