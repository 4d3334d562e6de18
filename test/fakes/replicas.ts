/** A name with two addresses on this machine, as DNS gives it for a service with two replicas: one of them takes connections and says nothing. */

import dns from "node:dns";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** Only `dns.lookup` finds it, and only while there are Replicas. */
export const NAME = "replicas.test";

export class Replicas implements AsyncDisposable {
  readonly port: number;
  readonly #servers: readonly Server[];
  readonly #sockets = new Set<Socket>();
  readonly #lookup = dns.lookup;

  private constructor(servers: readonly Server[], port: number) {
    this.#servers = servers;
    this.port = port;
  }

  /**
   * The living one, 127.0.0.2, passes on to `port` of 127.0.0.1. The silent one, 127.0.0.1, comes first
   * in every answer of DNS; `onSilence` is called when somebody has said something to it.
   */
  static async before(port: number, onSilence: () => void): Promise<Replicas> {
    const silent = createServer((socket) => {
      replicas.#keep(socket);
      socket.once("data", onSilence);
    });
    const living = createServer((socket) => {
      const upstream = connect(port, "127.0.0.1");
      for (const end of [socket, upstream]) replicas.#keep(end);
      socket.on("close", () => upstream.destroy());
      upstream.on("close", () => socket.destroy());
      socket.pipe(upstream).pipe(socket);
    });
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    const own = (silent.address() as AddressInfo).port;
    living.listen(own, "127.0.0.2");
    await once(living, "listening");
    const replicas = new Replicas([silent, living], own);
    replicas.#answerLookups();
    return replicas;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket.on("error", () => {}));
  }

  #answerLookups(): void {
    const real = this.#lookup;
    const found = ["127.0.0.1", "127.0.0.2"].map((address) => ({ address, family: 4 }));
    const fake = (
      host: string,
      options: dns.LookupOptions,
      callback: (...given: unknown[]) => void,
    ) => {
      if (host !== NAME) return real(host, options, callback);
      if (options.all === true) process.nextTick(callback, null, found);
      else process.nextTick(callback, null, "127.0.0.1", 4);
    };
    dns.lookup = fake as typeof dns.lookup;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    dns.lookup = this.#lookup;
    for (const socket of this.#sockets) socket.destroy();
    for (const server of this.#servers) {
      server.close();
      await once(server, "close");
    }
  }
}
