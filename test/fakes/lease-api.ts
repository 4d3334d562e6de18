/** The part of the API of Kubernetes that keeps Leases, on a socket: resourceVersions, conflicts, refusals, and answers that do not come. */

import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Pause } from "./pause.ts";
import type { Fault } from "./store-link.ts";

export interface FakeLease {
  metadata: {
    name: string;
    namespace: string;
    uid: string;
    resourceVersion: string;
    annotations?: Record<string, string>;
    labels?: Record<string, string>;
  };
  spec?: Record<string, unknown>;
}

/** An HTTP answer other than what the API would give. */
export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** How the server treats one client, who is known by its bearer token. */
export class FakeCaller {
  readonly token: string;
  readonly pause: Pause;
  fault: Fault | undefined;
  loseAnswer: Fault | undefined;
  holdWrite: ((write: () => void) => void) | undefined;
  /** Given to each of its requests. */
  answer: Answer | undefined;
  /** Requests that came, and those of them that are over: answered, broken or given up. */
  arrived = 0;
  over = 0;

  constructor(pause: Pause, token: string) {
    this.pause = pause;
    this.token = token;
  }
}

const PATH = /^\/apis\/coordination\.k8s\.io\/v1\/namespaces\/([^/?]+)\/leases(?:\/([^/?]+))?$/;

export class FakeLeaseApi implements AsyncDisposable {
  /** By `namespace/name`. Change them as other clients would: `touch` after it. */
  readonly leases = new Map<string, FakeLease>();
  readonly namespaces = new Set(["kong"]);
  readonly #callers: FakeCaller[] = [];
  readonly #server: Server;
  #revision = 1;

  private constructor(server: Server) {
    this.#server = server;
    server.on("request", (request, response) => void this.#serve(request, response));
  }

  static async start(): Promise<FakeLeaseApi> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new FakeLeaseApi(server);
  }

  get endpoint(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("not listening");
    return `http://127.0.0.1:${address.port}`;
  }

  connect(pause: Pause, token: string = randomUUID()): FakeCaller {
    const caller = new FakeCaller(pause, token);
    this.#callers.push(caller);
    return caller;
  }

  /** Gives the lease its next resourceVersion. */
  touch(lease: FakeLease): void {
    this.#revision += 1;
    lease.metadata.resourceVersion = `${this.#revision}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body: Buffer[] = [];
    for await (const chunk of request) body.push(chunk as Buffer);
    const token = request.headers.authorization?.replace("Bearer ", "");
    const caller = this.#callers.find((it) => it.token === token);
    if (caller === undefined) return send(response, status(401, "Unauthorized", "Unauthorized"));
    caller.arrived += 1;
    response.once("close", () => {
      caller.over += 1;
    });
    const handle = () => this.#handle(request, Buffer.concat(body).toString());
    if (caller.fault !== undefined) return lose(caller.fault, response);
    if (caller.answer !== undefined) return send(response, caller.answer);
    if (request.method === "GET") return answer(caller, response, handle());
    const { holdWrite, loseAnswer } = caller;
    caller.holdWrite = undefined;
    if (holdWrite !== undefined) return holdWrite(handle);
    caller.loseAnswer = undefined;
    const written = handle();
    if (loseAnswer !== undefined) return lose(loseAnswer, response);
    await answer(caller, response, written);
  }

  /** kubernetes/kubernetes@v1.36.3 staging/src/k8s.io/apiserver/pkg/registry/generic/registry/store.go */
  #handle({ method, url = "" }: IncomingMessage, body: string): Answer {
    const [, namespace = "", name] = PATH.exec(url) ?? [];
    if (namespace === "") return { status: 404, body: "404 page not found" };
    if (method === "POST") return this.#create(namespace, JSON.parse(body) as FakeLease);
    const id = `${namespace}/${name}`;
    const lease = this.leases.get(id);
    if (method === "PUT") return this.#replace(id, lease, JSON.parse(body) as FakeLease);
    return lease === undefined ? notFound(`leases "${name}"`) : ok(200, lease);
  }

  #create(namespace: string, lease: FakeLease): Answer {
    if (!this.namespaces.has(namespace)) return notFound(`namespaces "${namespace}"`);
    const id = `${namespace}/${lease.metadata.name}`;
    if (this.leases.has(id)) return status(409, "AlreadyExists", `"${id}" already exists`);
    lease.metadata.uid = randomUUID();
    return this.#put(201, id, lease);
  }

  #replace(id: string, before: FakeLease | undefined, lease: FakeLease): Answer {
    const { uid, resourceVersion } = lease.metadata;
    if (before?.metadata.uid !== uid || before?.metadata.resourceVersion !== resourceVersion) {
      return status(409, "Conflict", `Operation cannot be fulfilled on "${id}"`);
    }
    return this.#put(200, id, lease);
  }

  #put(code: number, id: string, lease: FakeLease): Answer {
    this.touch(lease);
    this.leases.set(id, lease);
    return ok(code, lease);
  }
}

/** As the API server refuses. */
export function status(code: number, reason: string, message: string): Answer {
  const fields = { kind: "Status", apiVersion: "v1", status: "Failure", reason, message, code };
  return { status: code, body: JSON.stringify(fields) };
}

function notFound(what: string): Answer {
  return status(404, "NotFound", `${what} not found`);
}

function ok(code: number, lease: FakeLease): Answer {
  return { status: code, body: JSON.stringify(lease) };
}

/** Nothing reaches a process that stands still. */
async function answer(caller: FakeCaller, response: ServerResponse, answer: Answer): Promise<void> {
  await caller.pause.over();
  send(response, answer);
}

function send(response: ServerResponse, { status: code, body }: Answer): void {
  response.writeHead(code, { "Content-Type": "application/json", Connection: "close" });
  response.end(body);
}

function lose(how: Fault, response: ServerResponse): void {
  if (how === "refused") response.destroy();
}
