/** Where AWS hands out temporary credentials: STS, the agent of a container, the metadata service of a machine; all at one loopback address. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";

export interface IdentityRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  /** Of STS: what is asked, e.g. `Action`. */
  readonly form: URLSearchParams;
}

/** In place of credentials: a refusal, or no answer ever. */
export type IdentityFault =
  | { readonly kind: "refusal"; readonly status: number; readonly code: string }
  | { readonly kind: "silence" };

const ROLE_PATH = "/latest/meta-data/iam/security-credentials/";

/** What the metadata service gives for its PUT, and wants with every GET. */
const METADATA_TOKEN = "metadata-session";

export class FakeAwsIdentity implements AsyncDisposable {
  /** `http(s)://127.0.0.1:port` */
  readonly endpoint: string;
  readonly requests: IdentityRequest[] = [];
  /** What is left of the credentials' life when they are given out, milliseconds. */
  lifetimeMs = 3_600_000;
  /** Asked for every request. */
  fault: (request: IdentityRequest) => IdentityFault | undefined = () => undefined;
  #issued = 0;
  readonly #close: () => Promise<void>;

  private constructor(endpoint: string, close: () => Promise<void>) {
    this.endpoint = endpoint;
    this.#close = close;
  }

  static async start(tls?: { readonly key: string; readonly cert: string }) {
    let fake: FakeAwsIdentity;
    const handler = (request: IncomingMessage, response: ServerResponse) => {
      void fake.#answer(request, response);
    };
    const server = tls ? createTlsServer(tls, handler) : createServer(handler);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    fake = new FakeAwsIdentity(`http${tls ? "s" : ""}://127.0.0.1:${port}`, async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    });
    return fake;
  }

  /** How often credentials were given out; the session token of the n-th is `session-n`. */
  get issued(): number {
    return this.#issued;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = "", url: path = "", headers } = request;
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    const seen = { method, path, headers, form };
    this.requests.push(seen);
    const fault = this.fault(seen);
    if (fault?.kind === "silence") return;
    const [status, body] = fault === undefined ? this.#reply(seen) : refuse(fault);
    response.writeHead(status, {
      "content-type": body.startsWith("<") ? "text/xml" : "text/plain",
    });
    response.end(body);
  }

  #reply({ method, path, headers, form }: IdentityRequest): readonly [number, string] {
    const action = form.get("Action");
    if (method === "POST" && action !== null) return [200, this.#assumed(action)];
    if (method === "GET" && path === "/container") return [200, JSON.stringify(this.#issue())];
    if (method === "PUT" && path === "/latest/api/token") return [200, METADATA_TOKEN];
    if (headers["x-aws-ec2-metadata-token"] !== METADATA_TOKEN) return [401, ""];
    if (path === ROLE_PATH) return [200, "backup-role"];
    if (path === `${ROLE_PATH}backup-role`) return [200, JSON.stringify(this.#issue())];
    return [404, ""];
  }

  #issue() {
    this.#issued += 1;
    return {
      AccessKeyId: "fake-key-id",
      SecretAccessKey: "kong-fallback-secret",
      Token: `session-${this.#issued}`,
      Expiration: new Date(Date.now() + this.lifetimeMs).toISOString(),
    };
  }

  /** https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html */
  #assumed(action: string): string {
    const { Token, ...rest } = this.#issue();
    const fields = Object.entries({ ...rest, SessionToken: Token });
    const credentials = fields.map(([name, value]) => `<${name}>${value}</${name}>`).join("");
    return `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><${action}Result><Credentials>${credentials}</Credentials></${action}Result></${action}Response>`;
  }
}

function refuse(fault: { readonly status: number; readonly code: string }): [number, string] {
  const error = `<Error><Type>Sender</Type><Code>${fault.code}</Code><Message>the fake says no</Message></Error>`;
  return [
    fault.status,
    `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">${error}</ErrorResponse>`,
  ];
}
