/** Which of several addresses of a name a connection begins with: another one each time, and last those that answered nothing. */

import { randomInt } from "node:crypto";
import dns, { type LookupAddress } from "node:dns";
import { type LookupFunction, Socket } from "node:net";

/**
 * For one client and all it connects to. By itself Node begins with the first address each time, and
 * goes on to the next only where no connection comes about: a server that takes connections and says
 * nothing would be asked for ever. So every connection begins one address further, and addresses
 * whose last connection ended before a byte came are left to the end.
 */
export class Addresses {
  /** Where the next connection to a name begins. */
  readonly #turns = new Map<string, number>();
  readonly #silent = new Set<string>();

  /** In place of `dns.lookup`, whose order it replaces by its own. */
  readonly lookup: LookupFunction = (host, options, callback) => {
    dns.lookup(host, { ...options, all: true }, (error, found) => {
      if (error !== null) {
        callback(error, "");
        return;
      }
      const order = this.#order(host, found);
      const [first] = order;
      if (options.all === true || first === undefined) callback(null, order);
      else callback(null, first.address, first.family);
    });
  };

  /**
   * To be told of every socket that connects with `lookup`; gives it back. What is no socket is passed
   * over: connectors may give one back, whatever their types say.
   */
  watch<T>(socket: T): T {
    if (!(socket instanceof Socket)) return socket;
    socket.once("connect", () => {
      const { remoteAddress } = socket;
      if (remoteAddress === undefined) return;
      socket.once("close", () => {
        if (socket.bytesRead === 0) this.#silent.add(remoteAddress);
        else this.#silent.delete(remoteAddress);
      });
    });
    return socket;
  }

  /** Resolvers change the order, too: by its own the turns would meet the same address again. */
  #order(host: string, found: readonly LookupAddress[]): LookupAddress[] {
    const sorted = found.toSorted((a, b) => (a.address < b.address ? -1 : 1));
    // Who lives for one question must not always begin with the same one either.
    const turn = this.#turns.get(host) ?? randomInt(2 ** 16);
    this.#turns.set(host, turn + 1);
    const from = turn % Math.max(1, sorted.length);
    const turned = [...sorted.slice(from), ...sorted.slice(0, from)];
    const isSilent = ({ address }: LookupAddress) => this.#silent.has(address);
    return [...turned.filter((it) => !isSilent(it)), ...turned.filter(isSilent)];
  }
}
