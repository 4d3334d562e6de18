/** Cloud Storage's JSON API, Google's token endpoint and the metadata server, as far as the driver uses them, with faults on demand. */

import { once } from "node:events";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Answer, FakeObject } from "./gcs-objects.ts";
import {
  condition,
  crc32c,
  json,
  list,
  masked,
  one,
  parts,
  refusal,
  webPage,
} from "./gcs-objects.ts";

export interface SeenRequest {
  readonly method: string;
  /** Escaped, without the query. */
  readonly path: string;
  readonly params: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Resolves when the connection it came on is closed. */
  closed(): Promise<void>;
}

/**
 * - `answer`: this instead of the proper answer.
 * - `truncate`: the proper answer's head, half of its body, then the connection closes.
 * - `hang`: the same, but the connection stays open.
 * - `flip`: one bit of the proper answer's body is another.
 * - `reset`: the connection closes without an answer.
 * - `lost`: the same, once what was asked is done.
 * - `stall`: no answer ever.
 * - `trickle`: the proper answer's body in ten pieces, one after each `turn`.
 */
export type Fault =
  | { readonly kind: "answer"; readonly status: number; readonly json: unknown }
  | { readonly kind: "html"; readonly status: number }
  | { readonly kind: "trickle"; readonly turn: () => Promise<void> }
  | { readonly kind: "truncate" | "hang" | "flip" | "reset" | "lost" | "stall" };

export class FakeGcsServer implements AsyncDisposable {
  readonly requests: SeenRequest[] = [];
  /** The buckets that exist, with their objects by name. */
  readonly buckets = new Map<string, Map<string, FakeObject>>();
  /** If set, the one access token taken, and the one the token endpoint and the metadata server give out. */
  accessToken: string | undefined;
  /** Asked before each request is answered. */
  fault: (request: SeenRequest) => Fault | undefined = () => undefined;
  /** Called for each piece of a request's body. */
  arrived: () => void = () => {};
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  #generation = 1_700_000_000_000_000;

  static async start(...buckets: readonly string[]): Promise<FakeGcsServer> {
    const fake = new FakeGcsServer();
    for (const bucket of buckets) fake.buckets.set(bucket, new Map());
    fake.#server.listen(0, "127.0.0.1");
    await once(fake.#server, "listening");
    return fake;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Stores an object as some other tool might, e.g. with a `contentEncoding`. */
  store(bucket: string, resource: Readonly<Record<string, unknown>>, body: Buffer): FakeObject {
    this.#generation += 1;
    const name = String(resource["name"]);
    const generation = String(this.#generation);
    const size = String(body.length);
    const updated = new Date().toISOString();
    const stored = { ...resource, generation, size, updated, crc32c: crc32c(body) };
    const object = { name, generation, body, resource: { kind: "storage#object", ...stored } };
    this.buckets.get(bucket)?.set(name, object);
    return object;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    if (this.#server.listening) await once(this.#server, "close");
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    try {
      for await (const piece of incoming) {
        pieces.push(piece);
        this.arrived();
      }
    } catch {
      // The client went away; a real server would keep nothing of it either.
      return;
    }
    const url = new URL(incoming.url ?? "/", this.endpoint);
    const request: SeenRequest = {
      method: incoming.method ?? "",
      path: url.pathname,
      params: url.searchParams,
      headers: incoming.headers,
      body: Buffer.concat(pieces),
      closed: () => closed(incoming.socket),
    };
    this.requests.push(request);
    const fault = this.fault(request);
    if (fault?.kind === "stall") return;
    if (fault?.kind === "reset") {
      response.destroy();
      return;
    }
    const { status, type, body } = this.#answer(request, fault);
    if (fault?.kind === "lost") return void response.destroy();
    // "Metadata-Flavor" is how the metadata server proves itself.
    const head = { "Content-Length": body.length, "Metadata-Flavor": "Google" };
    response.writeHead(status, { "Content-Type": type, ...head });
    if (fault?.kind === "truncate" || fault?.kind === "hang") {
      response.write(body.subarray(0, body.length / 2), () => {
        if (fault.kind === "truncate") response.destroy();
      });
      return;
    }
    if (fault?.kind === "trickle") {
      const size = Math.ceil(body.length / 10);
      for (let at = 0; at < body.length; at += size) {
        await fault.turn();
        response.write(body.subarray(at, at + size));
      }
      response.end();
      return;
    }
    const damaged = fault?.kind === "flip" ? body.map((byte, at) => (at ? byte : byte ^ 1)) : body;
    response.end(damaged);
  }

  #answer(request: SeenRequest, fault: Fault | undefined): Answer {
    if (fault?.kind === "answer") return json(fault.status, fault.json);
    if (fault?.kind === "html") return webPage(fault.status);
    const token = { access_token: this.accessToken, expires_in: 3599, token_type: "Bearer" };
    if (request.path === "/oauth2/v4/token") return json(200, token);
    if (request.path.startsWith("/computeMetadata/v1/instance")) {
      return json(200, request.path.endsWith("/token") ? token : {});
    }
    const { authorization } = request.headers;
    if (this.accessToken !== undefined && authorization !== `Bearer ${this.accessToken}`) {
      return refusal(401, "required", "Anonymous caller does not have storage access.");
    }
    const match = /^(\/upload)?\/storage\/v1\/b\/([^/]+)\/o(?:\/([^/]+))?$/.exec(request.path);
    const [, upload, bucket = "", escaped] = match ?? [];
    if (match === null) return webPage(404);
    const objects = this.buckets.get(bucket);
    if (!objects) return refusal(404, "notFound", "The specified bucket does not exist.");
    if (upload !== undefined) return this.#upload(bucket, objects, request);
    if (escaped === undefined) return list(objects, request.params);
    return one(bucket, objects, decodeURIComponent(escaped), request);
  }

  #upload(bucket: string, objects: Map<string, FakeObject>, request: SeenRequest): Answer {
    const [head, body] = parts(request.headers["content-type"] ?? "", request.body);
    if (head === undefined || body === undefined) return refusal(400, "parseError", "Parse Error");
    const resource = JSON.parse(head.toString("utf8"));
    const unmet = condition(request.params, objects.get(resource.name));
    if (unmet !== undefined) return unmet;
    if (resource.crc32c !== undefined && resource.crc32c !== crc32c(body)) {
      const message = `Provided CRC32C "${resource.crc32c}" doesn't match calculated CRC32C "${crc32c(body)}".`;
      return refusal(400, "invalid", message);
    }
    const { resource: stored } = this.store(bucket, resource, body);
    return json(200, masked(stored, request.params));
  }
}

function closed(socket: Socket): Promise<void> {
  if (socket.destroyed) return Promise.resolve();
  return new Promise((resolve) => socket.once("close", () => resolve()));
}
