/** With which address of a name each connection begins. */

import assert from "node:assert/strict";
import dns, { type LookupAddress } from "node:dns";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { afterEach, describe, it } from "vitest";
import { Addresses } from "../../src/network/addresses.ts";

const real = dns.lookup;
afterEach(() => {
  dns.lookup = real;
});

function answers(...orders: readonly (readonly string[])[]): void {
  let asked = 0;
  dns.lookup = ((_host: string, _options: object, callback: (...given: unknown[]) => void) => {
    const order = orders[asked % orders.length] ?? [];
    asked += 1;
    callback(
      null,
      order.map((address) => ({ address, family: 4 })),
    );
  }) as typeof dns.lookup;
}

function firstOf(addresses: Addresses): Promise<string> {
  return new Promise((resolve, reject) => {
    addresses.lookup("name", { all: true }, (error, found) => {
      if (error !== null) reject(error);
      else resolve((found as LookupAddress[])[0]?.address ?? "");
    });
  });
}

describe("the addresses of a name", () => {
  it("are begun with in turn", async () => {
    answers(["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
    const addresses = new Addresses();
    const firsts = [await firstOf(addresses), await firstOf(addresses), await firstOf(addresses)];
    assert.deepEqual(firsts.toSorted(), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
  });

  it("are begun with in turn where the resolver turns them, too", async () => {
    answers(["10.0.0.1", "10.0.0.2"], ["10.0.0.2", "10.0.0.1"]);
    const addresses = new Addresses();
    assert.notEqual(await firstOf(addresses), await firstOf(addresses));
  });

  it("come one at a time where one is asked for", async () => {
    answers(["10.0.0.1", "10.0.0.2"]);
    const addresses = new Addresses();
    const one = () =>
      new Promise((resolve) => addresses.lookup("name", {}, (_, address) => resolve(address)));
    assert.deepEqual([await one(), await one()].toSorted(), ["10.0.0.1", "10.0.0.2"]);
  });

  it("say what the resolver says where there are none", async () => {
    dns.lookup = ((_host: string, _options: object, callback: (error: Error) => void) =>
      callback(Object.assign(new Error("no such name"), { code: "ENOTFOUND" }))) as never;
    await assert.rejects(firstOf(new Addresses()), { code: "ENOTFOUND" });
  });

  it("are left to the end while their last connection ended without a byte", async () => {
    const server = createServer((socket) => {
      if (socket.localAddress === "127.0.0.1") socket.end();
      else socket.end("a byte");
    });
    server.listen(0, "0.0.0.0");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    answers(["127.0.0.1", "127.0.0.2"]);
    const addresses = new Addresses();
    const connectTo = async (host: string): Promise<void> => {
      const socket = addresses.watch(connect({ host, port })).resume();
      await once(socket, "close");
    };
    await connectTo("127.0.0.1");
    await connectTo("127.0.0.2");
    for (let i = 0; i < 4; i += 1) assert.equal(await firstOf(addresses), "127.0.0.2");
    server.close();
  });
});
