/** A Blob service of one container that does what it is told: the wire of Azure where it must fail. */

import { createHash } from "node:crypto";
import { once } from "node:events";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:http";

export interface SeenAzureRequest {
  readonly method: string;
  /** Unescaped, below the account: `backups/some/prefix/a`. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}

/** What happens in place of an answer. */
export type AzureFault =
  | {
      readonly kind: "error";
      readonly status: number;
      readonly code?: string;
      readonly message?: string;
    }
  | { readonly kind: "page"; readonly status: number; readonly headers?: Record<string, string> }
  /** After the request's headers, before an answer. */
  | { readonly kind: "reset" | "stall" }
  /** The object's own answer, up to the half of its body. */
  | { readonly kind: "half" | "half-stall" }
  /** The object's own answer, with one byte of its body changed. */
  | { readonly kind: "damage" }
  /** The write takes effect; its answer is lost. */
  | { readonly kind: "lost-answer" };

interface Blob {
  readonly body: Buffer;
  readonly etag: string;
  readonly headers: Record<string, string>;
}

export class FakeAzure implements AsyncDisposable {
  readonly account = "kongfallback";
  readonly accountKey = Buffer.from("kong-fallback-test-account-key").toString("base64");
  readonly requests: SeenAzureRequest[] = [];
  readonly #blobs = new Map<string, Blob>();
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  fault: (request: SeenAzureRequest) => AzureFault | undefined = () => undefined;
  #etags = 0;

  static async start(): Promise<FakeAzure> {
    const fake = new FakeAzure();
    fake.#server.listen(0, "127.0.0.1");
    await once(fake.#server, "listening");
    return fake;
  }

  get endpoint(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
  }

  /** Puts a blob there as another writer would. */
  store(path: string, body: string, headers: Record<string, string> = {}): string {
    this.#etags += 1;
    const etag = `"0x8DC0000000${this.#etags.toString(16).toUpperCase().padStart(5, "0")}"`;
    this.#blobs.set(path, { body: Buffer.from(body), etag, headers });
    return etag;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? "/", this.endpoint);
    const path = decodeURIComponent(pathname).replace(`/${this.account}/`, "");
    const { method = "", headers } = request;
    const seen = { method, path, headers };
    this.requests.push(seen);
    const fault = this.fault(seen);
    if (fault?.kind === "stall") return;
    if (fault?.kind === "reset") {
      request.socket.resetAndDestroy();
      return;
    }
    const body = Buffer.concat(await request.toArray().catch(() => []));
    if (fault?.kind === "error") return refuse(response, fault.status, fault.code, fault.message);
    if (fault?.kind === "page") {
      response.writeHead(fault.status, { "Content-Type": "text/html", ...fault.headers });
      response.end("<html>sign in</html>");
      return;
    }
    const found = this.#blobs.get(path);
    if (method === "PUT") {
      if (headers["if-none-match"] === "*" && found)
        return refuse(response, 409, "BlobAlreadyExists");
      const expected = headers["if-match"];
      if (expected !== undefined && expected !== found?.etag) {
        return refuse(response, 412, "ConditionNotMet");
      }
      const kept = Object.entries(headers).filter(([name]) => name.startsWith("x-ms-meta-"));
      const etag = this.store(
        path,
        body.toString("latin1"),
        Object.fromEntries(kept) as Record<string, string>,
      );
      if (fault?.kind === "lost-answer") request.socket.resetAndDestroy();
      else response.writeHead(201, { ETag: etag }).end();
      return;
    }
    if (found === undefined) return refuse(response, 404, "BlobNotFound");
    if (method === "DELETE") {
      this.#blobs.delete(path);
      response.writeHead(202).end();
      return;
    }
    const digest = createHash("md5").update(found.body).digest("base64");
    response.writeHead(200, {
      ETag: found.etag,
      "Content-Length": found.body.length,
      "Content-MD5": digest,
      "x-ms-blob-type": "BlockBlob",
      ...found.headers,
    });
    const half = found.body.subarray(0, found.body.length / 2);
    if (fault?.kind === "half") response.write(half, () => request.socket.destroy());
    else if (fault?.kind === "half-stall") response.write(half);
    else if (fault?.kind === "damage") response.end(Buffer.from(found.body).fill("?", 0, 1));
    else response.end(method === "HEAD" ? undefined : found.body);
  }
}

function refuse(response: ServerResponse, status: number, code?: string, message = "No."): void {
  const headers = code === undefined ? {} : { "x-ms-error-code": code };
  response.writeHead(status, {
    ...headers,
    "Content-Type": "application/xml",
    "x-ms-request-id": "6a1b2c3d-0000-4000-8000-000000000000",
    "WWW-Authenticate": "Bearer",
  });
  response.end(
    `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`,
  );
}
