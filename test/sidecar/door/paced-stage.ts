/** What the tests of the paced stream share: pairs of sockets, and readers of every pace. */

import { once } from "node:events";
import { Duplex } from "node:stream";
import { connect, createServer, type TLSSocket } from "node:tls";
import { clusterTls } from "../../source/harness.ts";

export interface SocketPair<S extends Duplex = Duplex> extends AsyncDisposable {
  /** Our side. */
  readonly near: S;
  /** The other side; paused. */
  readonly far: S;
}

/** Two ends of a TLS connection over loopback. */
export async function tlsPair(): Promise<SocketPair<TLSSocket>> {
  const { cert, key } = clusterTls;
  const server = createServer({ cert, key: key.reveal() });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  const accepted: Promise<readonly TLSSocket[]> = once(server, "secureConnection");
  const far = connect({ host: "127.0.0.1", port: address.port, rejectUnauthorized: false });
  far.on("error", () => {});
  const [near] = await accepted;
  if (near === undefined) throw new Error("no connection");
  far.pause();
  return {
    near,
    far,
    async [Symbol.asyncDispose](): Promise<void> {
      near.destroy();
      far.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** Two ends in memory; a write is done once the other end has taken it. */
export function memoryPair(): SocketPair {
  const near = new MemoryEnd();
  const far = new MemoryEnd();
  near.join(far);
  far.join(near);
  far.on("error", () => {});
  return {
    near,
    far,
    async [Symbol.asyncDispose](): Promise<void> {
      near.destroy();
      far.destroy();
    },
  };
}

class MemoryEnd extends Duplex {
  #other: MemoryEnd | undefined;
  #taken: (() => void) | undefined;

  constructor() {
    super({ allowHalfOpen: false });
  }

  join(other: MemoryEnd): void {
    this.#other = other;
  }

  override _read(): void {
    const taken = this.#taken;
    this.#taken = undefined;
    taken?.();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.#other?.receive(chunk, done);
  }

  override _final(done: () => void): void {
    this.#other?.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    done(error);
    if (!this.writableFinished) this.#other?.destroy();
  }

  /** Calls back once there is room for more. */
  receive(chunk: Buffer, done: () => void): void {
    if (this.destroyed) return;
    if (this.push(chunk)) done();
    else this.#taken = done;
  }
}

/** Of no repeating pattern that a lost or doubled piece could hide in. */
export function bytes(length: number, seed = 1): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i += 1) words[i] = Math.imul(i + seed, 0x9e3779b1);
  return Buffer.from(words.buffer, 0, length);
}

/** All that comes until the end, or the close. */
export async function readAll(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.resume();
  await new Promise((resolve) => stream.once("end", resolve).once("close", resolve));
  return Buffer.concat(chunks);
}

/** Resolves to the error it closes with, undefined if there was none. */
export function closed(stream: Duplex): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const settle = (): void => resolve(stream.errored ?? undefined);
    // Unheard, it would end the process.
    stream.on("error", () => {});
    if (stream.closed) settle();
    else stream.once("close", settle);
  });
}

export function written(stream: Duplex, chunk: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(chunk, (error) => {
      if (error === undefined || error === null) resolve();
      else reject(error);
    });
  });
}
