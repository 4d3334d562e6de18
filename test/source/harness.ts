/** What the tests of the hybrid source share: a source with usable options, and ways to drive it. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { EMPTY_CONFIG_HASH } from "../../src/kong/config-hash.ts";
import { parseKongVersion } from "../../src/kong/version.ts";
import { HybridSource, type HybridSourceOptions } from "../../src/source/hybrid.ts";
import { SourceError, type SourceErrorCode, type SourceEvent } from "../../src/source/port.ts";
import { clusterCertificate, sharedTls } from "../fakes/certificates.ts";
import { FakeControlPlane, type FakeControlPlaneOptions } from "../fakes/control-plane.ts";
import { ManualClock } from "../fakes/manual-clock.ts";

export const NODE_ID = "5ee1a2f6-0f6b-4c1e-9f0e-1f6a5d7c8b90";
export const NO_HASH = EMPTY_CONFIG_HASH;

/** The cluster's certificate in mode shared, the same on both sides. */
export const clusterPair = await clusterCertificate();
export const clusterTls = await sharedTls(clusterPair);

export type Changes = Omit<Partial<HybridSourceOptions>, "version" | "clock"> & {
  readonly version?: string;
  readonly clock?: ManualClock;
};

export function hybridSource(changes: Changes = {}): HybridSource {
  const version = parseKongVersion(changes.version ?? "3.9.1");
  assert.ok(version);
  return new HybridSource({
    controlPlane: { host: "127.0.0.1", port: 1 },
    proxy: undefined,
    loadTls: async () => clusterTls,
    nodeId: NODE_ID,
    hostname: "exporter-0",
    plugins: ["acl", "key-auth"],
    labels: {},
    maxPayloadBytes: 16_777_216,
    maxConfigBytes: 1_000_000,
    savedHash: undefined,
    clock: new ManualClock(new Date()),
    ...changes,
    version,
  });
}

/** A control plane, a source connected to nothing yet, and the clock they are watched by. */
export async function pair(options: Partial<FakeControlPlaneOptions> = {}, changes: Changes = {}) {
  const clock = changes.clock ?? new ManualClock(new Date());
  const controlPlane = await FakeControlPlane.listen({ tls: clusterTls, ...options });
  const source = hybridSource({ controlPlane: controlPlane.address, ...changes, clock });
  const stop = new AbortController();
  const events = source.watch(stop.signal);
  return {
    clock,
    controlPlane,
    source,
    stop,
    events,
    /** The next event, which must be of this kind. */
    async next<K extends SourceEvent["kind"]>(kind: K): Promise<Extract<SourceEvent, { kind: K }>> {
      const { value } = await events.next();
      assert.equal(value.kind, kind);
      return value as Extract<SourceEvent, { kind: K }>;
    },
    /** Goes past `connected`: the session is up, `basic_info` and the first ping have come. */
    async begin() {
      assert.equal((await events.next()).value.kind, "connected");
      const event = events.next();
      // Whoever calls looks at it later; until then a failure is not unhandled.
      event.catch(() => {});
      const session = await controlPlane.session();
      await session.received(2);
      return { session, event };
    },
    async [Symbol.asyncDispose](): Promise<void> {
      stop.abort();
      await events.return(undefined as never);
      await source[Symbol.asyncDispose]();
      await controlPlane[Symbol.asyncDispose]();
    },
  };
}

/** What a promise rejects with: a SourceError of this code that keeps the secrets. */
export async function failure(
  promise: Promise<unknown>,
  code: SourceErrorCode,
): Promise<SourceError & { hint: string }> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof SourceError, String(error));
    assert.equal(error.code, code, error.message);
    assert.ok(error.hint !== undefined && error.hint.length > 20, "a hint says what to do");
    assert.ok(!/\n/.test(error.message), "a message is one line");
    for (const line of clusterPair.key
      .reveal()
      .split("\n")
      .filter((text) => text.length > 20)) {
      assert.ok(!`${error.message} ${error.hint}`.includes(line), "no key in a message");
    }
    return error as SourceError & { hint: string };
  }
  assert.fail("nothing was thrown");
}

/** How a whole session ends that never gets beyond the handshake. */
export async function refusal(changes: Changes, code: SourceErrorCode) {
  const source = hybridSource(changes);
  return failure(source.watch(new AbortController().signal).next(), code);
}

export function capture(name: string): Buffer {
  return readFileSync(new URL(`../fixtures/captures/${name}`, import.meta.url));
}

/** Recorded from a real Kong 3.9.1: one service, one route. */
export const SMALL = capture("3.9.1/small.reconfigure.bin");

/** The hash of some config. */
export const HASH = "417a8a4c1e6f6f0c8d6b8c5e4d3f2a1b";

/** A small config that can be told from others by its name. */
export function frameOf(name: string): Buffer {
  const config_table = { _format_version: "3.0", name };
  return gzipSync(JSON.stringify({ type: "reconfigure", config_table }));
}

/** Resolves when the clock is read next, as it is whenever bytes arrive. */
export function looksAtClock(clock: ManualClock): Promise<void> {
  return new Promise((resolve) => {
    clock.monotonicMs = () => {
      resolve();
      return ManualClock.prototype.monotonicMs.call(clock);
    };
  });
}

/** A TCP server that does with each connection what it is told, in place of TLS. */
export async function tcpServer(onConnection: (socket: Socket) => void) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket.on("error", () => {}));
    onConnection(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: { host: "127.0.0.1", port: (server.address() as AddressInfo).port },
    async [Symbol.asyncDispose](): Promise<void> {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
