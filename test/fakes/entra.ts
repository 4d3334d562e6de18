/** Entra ID's token endpoint over https, and the metadata services that give managed identities their tokens over http. */

import { once } from "node:events";
import type {
  IncomingHttpHeaders,
  IncomingMessage,
  RequestListener,
  ServerResponse,
} from "node:http";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Server } from "node:net";
import type { ClusterCertificate } from "../../src/kong/cluster-certificate.ts";

export interface TokenRequest {
  readonly path: string;
  /** Of the query and of the form. */
  readonly params: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
}

export interface TokenRefusal {
  readonly status: number;
  readonly error: string;
  readonly description: string;
}

export class FakeEntra implements AsyncDisposable {
  /** Requests for a token, not those for metadata. */
  readonly requests: TokenRequest[] = [];
  /** What is refused. */
  refusal: TokenRefusal | undefined;
  /** Of the next tokens; negative: they have expired when they are given out. */
  lifetimeSeconds = 3_600;
  /** Tokens given out, each another one. */
  readonly tokens: string[] = [];
  readonly #login: Server;
  readonly #metadata: Server;

  private constructor(login: (listener: RequestListener) => Server) {
    const listener: RequestListener = (request, response) => void this.#answer(request, response);
    this.#login = login(listener);
    this.#metadata = createHttpServer(listener);
  }

  static async start({ cert, key }: ClusterCertificate): Promise<FakeEntra> {
    const fake = new FakeEntra((listener) =>
      createHttpsServer({ cert, key: key.reveal() }, listener),
    );
    for (const server of [fake.#login, fake.#metadata]) {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
    }
    return fake;
  }

  /** For AZURE_AUTHORITY_HOST. */
  get authority(): string {
    return `https://127.0.0.1:${portOf(this.#login)}`;
  }

  /** For AZURE_POD_IDENTITY_AUTHORITY_HOST, and with a path for IDENTITY_ENDPOINT. */
  get metadata(): string {
    return `http://127.0.0.1:${portOf(this.#metadata)}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#login.close();
    this.#metadata.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.authority);
    const form = Buffer.concat(await request.toArray()).toString();
    response.setHeader("Content-Type", "application/json");
    // Nobody waits for an idle connection when the fake is closed.
    response.setHeader("Connection", "close");
    if (url.pathname.endsWith("/.well-known/openid-configuration")) {
      const tenant = `${this.authority}/${url.pathname.split("/")[1]}`;
      response.end(
        JSON.stringify({
          issuer: `${tenant}/v2.0`,
          authorization_endpoint: `${tenant}/oauth2/v2.0/authorize`,
          token_endpoint: `${tenant}/oauth2/v2.0/token`,
          jwks_uri: `${tenant}/discovery/v2.0/keys`,
        }),
      );
      return;
    }
    const params = new URLSearchParams(`${url.search.slice(1)}&${form}`);
    this.requests.push({ path: url.pathname, params, headers: request.headers });
    if (this.refusal !== undefined) {
      const { status, error, description } = this.refusal;
      response.writeHead(status).end(JSON.stringify({ error, error_description: description }));
      return;
    }
    const token = this.#token();
    this.tokens.push(token);
    const expires_on = Math.floor(Date.now() / 1000) + 3_600;
    response.end(
      JSON.stringify({
        ...{ token_type: "Bearer", access_token: token, resource: "https://storage.azure.com/" },
        ...(request.method === "GET" ? { expires_on: `${expires_on}` } : { expires_in: 3_600 }),
      }),
    );
  }

  /** Without a signature, which Azurite does not look at. */
  #token(): string {
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      aud: "https://storage.azure.com",
      iss: "https://sts.windows.net/tenant/",
      iat: now - 7_200,
      nbf: now - 7_200,
      exp: now + this.lifetimeSeconds,
      jti: `${this.tokens.length}`,
    };
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    return `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}.bm8tc2lnbmF0dXJl`;
  }
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}
