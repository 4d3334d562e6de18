/** A small S3 on the loopback interface: the requests the driver makes, answered as MinIO answers them, and faults on demand. */

import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Reply, Stored } from "./s3-replies.ts";
import { error, list, NOTHING } from "./s3-replies.ts";

/** One thing to do in place of the right answer. But for `body`, the request has no effect. */
export type Fault =
  | {
      readonly kind: "error";
      readonly status: number;
      /** S3's name of the error. */
      readonly code: string;
      readonly message?: string;
      /** Further elements of the error document. */
      readonly elements?: Readonly<Record<string, string>>;
      readonly headers?: Readonly<Record<string, string>>;
    }
  | {
      readonly kind: "raw";
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: string;
    }
  /** Right headers, then `bytes` of the body, and after them a clean end, a cut connection, or nothing more. */
  | { readonly kind: "body"; readonly bytes: number; readonly after: "end" | "reset" | "stall" }
  /** Takes the request and never answers, cuts the connection at once, or only after it has done what was asked. */
  | { readonly kind: "silence" }
  | { readonly kind: "drop" }
  | { readonly kind: "lost" };

export interface SeenRequest {
  readonly method: string;
  /** Path and query as sent. */
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
}

export interface FakeS3Options {
  readonly accessKeyId?: string;
  readonly region?: string;
  readonly tls?: { readonly key: string; readonly cert: string };
}

export class FakeS3 implements AsyncDisposable {
  /** `http(s)://127.0.0.1:port` */
  readonly endpoint: string;
  /** By bucket, then by key. Only buckets that are there exist. */
  readonly buckets = new Map<string, Map<string, Stored>>([["bucket", new Map()]]);
  readonly requests: SeenRequest[] = [];
  /** Statuses of the answers, in their order. */
  readonly statuses: number[] = [];
  /** Length of all their bodies together. */
  sentBytes = 0;
  /** Asked for every request, body not read yet; undefined: the right answer. */
  fault: (request: SeenRequest) => Fault | undefined = () => undefined;
  /** Called when a client goes away before it has its answer. */
  onCut: () => void = () => {};
  /** Ways in which real servers differ: conditions not looked at, those of a put not implemented, or Ceph's 412 to a quoted If-Match. */
  conditions: "honoured" | "ignored" | "not implemented" | "only bare If-Match" = "honoured";
  /** Without quotes. S3's is the MD5 of what it keeps, which is not the body where a KMS key encrypts. */
  etagOf = (body: Uint8Array): string => createHash("md5").update(body).digest("hex");
  /**
   * Connections on which a put met 412. MinIO closes these right after its answer without having
   * said so: minio/minio@RELEASE.2025-09-07T16-13-09Z cmd/object-handlers.go:PutObjectHandler writes
   * the error a second time, and Go's net/http gives the connection up for it. The fake leaves a
   * connection open until it is used again: the case in which the client is the faster of the two.
   */
  readonly #finished = new WeakSet<Socket>();
  readonly #options: Required<Omit<FakeS3Options, "tls">>;
  readonly #close: () => Promise<void>;

  private constructor(endpoint: string, options: FakeS3Options, close: () => Promise<void>) {
    this.endpoint = endpoint;
    this.#options = { accessKeyId: "fake-key-id", region: "us-east-1", ...options };
    this.#close = close;
  }

  static async start(options: FakeS3Options = {}): Promise<FakeS3> {
    let fake: FakeS3;
    const handler = (request: IncomingMessage, response: ServerResponse) => {
      void fake.#answer(request, response).catch(() => response.destroy());
    };
    const server = options.tls ? createTlsServer(options.tls, handler) : createServer(handler);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    fake = new FakeS3(`http${options.tls ? "s" : ""}://127.0.0.1:${port}`, options, async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    });
    return fake;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "", headers, socket } = request;
    if (this.#finished.has(socket)) return void socket.destroy();
    const seen = { method, url, headers };
    response.on("close", () => response.writableFinished || this.onCut());
    this.requests.push(seen);
    const fault = this.fault(seen);
    if (fault?.kind === "silence") return;
    if (fault?.kind === "drop") return void response.socket?.resetAndDestroy();
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const reply = this.#replyOf(seen, Buffer.concat(chunks), fault);
    if (fault?.kind === "lost") return void response.socket?.resetAndDestroy();
    this.statuses.push(reply.status);
    if (method === "PUT" && reply.status === 412) this.#finished.add(socket);
    if (method !== "HEAD") this.sentBytes += reply.body.byteLength;
    send(method, response, reply, fault);
  }

  #replyOf(seen: SeenRequest, body: Buffer, fault?: Fault): Reply {
    switch (fault?.kind) {
      case "raw":
        return { ...fault, body: Buffer.from(fault.body) };
      case "error": {
        const { status, code, message = code, elements, headers } = fault;
        return error(status, code, message, elements, headers);
      }
      default:
        return this.#reply(seen, body);
    }
  }

  #reply({ method, url, headers }: SeenRequest, body: Buffer): Reply {
    const refusal = this.#refuse(method, headers, body);
    if (refusal !== undefined) return refusal;
    const { pathname, searchParams } = new URL(url, this.endpoint);
    const [, bucket = "", ...rest] = pathname.split("/");
    const key = rest.map(decodeURIComponent).join("/");
    const objects = this.buckets.get(bucket);
    if (objects === undefined) return error(404, "NoSuchBucket", "The bucket does not exist");
    if (key === "") return list(objects, searchParams);
    const object = objects.get(key);
    switch (method) {
      case "PUT": {
        const condition = this.#condition(headers, object);
        if (condition !== undefined) return condition;
        const etag = `"${this.etagOf(body)}"`;
        const kept = Object.entries(headers).filter(([name]) =>
          /^x-amz-meta-|^content-type$/.test(name),
        );
        objects.set(key, {
          body,
          etag,
          putAt: new Date(),
          headers: Object.fromEntries(kept) as Record<string, string>,
        });
        return { status: 200, headers: { etag }, body: NOTHING };
      }
      case "GET":
      case "HEAD": {
        if (object === undefined) {
          return error(404, "NoSuchKey", "The specified key does not exist.", { Key: key });
        }
        const { etag, body: kept } = object;
        if (this.conditions !== "ignored" && headers["if-none-match"] === etag) {
          return { status: 304, headers: { etag }, body: NOTHING };
        }
        return { status: 200, headers: { ...object.headers, etag }, body: kept };
      }
      case "DELETE":
        objects.delete(key);
        return { status: 204, headers: {}, body: NOTHING };
      default:
        return error(405, "MethodNotAllowed", "The method is not allowed");
    }
  }

  /** What S3 looks at before the request itself. Signatures are not verified: real servers are there for that. */
  #refuse(method: string, headers: IncomingMessage["headers"], body: Buffer): Reply | undefined {
    const scope = /Credential=([^/]+)\/\d+\/([^/]+)\//.exec(headers.authorization ?? "");
    if (scope === null) return error(403, "AccessDenied", "Access Denied.");
    if (scope[1] !== this.#options.accessKeyId) {
      return error(403, "InvalidAccessKeyId", "The key id you provided does not exist.");
    }
    if (scope[2] !== this.#options.region) {
      const { region } = this.#options;
      return error(
        400,
        "AuthorizationHeaderMalformed",
        `the region is wrong; expecting '${region}'`,
        {
          Region: region,
        },
      );
    }
    const signedAt = String(headers["x-amz-date"]).replace(
      /^(....)(..)(..)T(..)(..)(..)Z$/,
      "$1-$2-$3T$4:$5:$6Z",
    );
    if (Math.abs(Date.parse(signedAt) - Date.now()) > 15 * 60_000) {
      return error(403, "RequestTimeTooSkewed", "The difference between the times is too large.", {
        RequestTime: signedAt,
        ServerTime: new Date().toISOString(),
      });
    }
    if (method === "PUT" && headers["content-length"] === undefined) {
      return error(411, "MissingContentLength", "You must provide the Content-Length header.");
    }
    const digest = createHash("sha256").update(body).digest("hex");
    if (![digest, "UNSIGNED-PAYLOAD"].includes(String(headers["x-amz-content-sha256"]))) {
      return error(400, "XAmzContentSHA256Mismatch", "The digest does not match the body.");
    }
    return undefined;
  }

  #condition(headers: IncomingMessage["headers"], object?: Stored): Reply | undefined {
    const { "if-none-match": ifNoneMatch, "if-match": ifMatch } = headers;
    if (this.conditions === "ignored" || (ifNoneMatch ?? ifMatch) === undefined) return undefined;
    if (this.conditions === "not implemented") {
      return error(
        501,
        "NotImplemented",
        "A header you provided implies functionality that is not implemented.",
      );
    }
    if (ifMatch !== undefined && object === undefined) {
      return error(404, "NoSuchKey", "The specified key does not exist.");
    }
    const bareOnly = this.conditions === "only bare If-Match";
    const etag = bareOnly ? object?.etag.replaceAll('"', "") : object?.etag;
    const met = ifMatch === undefined ? object === undefined : ifMatch === etag;
    return met ? undefined : error(412, "PreconditionFailed", "A precondition did not hold.");
  }
}

function send(method: string, response: ServerResponse, reply: Reply, fault?: Fault): void {
  const { status, headers, body } = reply;
  const length = { "content-length": String(body.byteLength) };
  response.writeHead(status, "transfer-encoding" in headers ? headers : { ...headers, ...length });
  if (fault?.kind !== "body") {
    response.end(method === "HEAD" ? NOTHING : body);
    return;
  }
  response.write(body.subarray(0, fault.bytes), () => {
    if (fault.after === "end") response.socket?.end();
    if (fault.after === "reset") response.socket?.resetAndDestroy();
  });
}
