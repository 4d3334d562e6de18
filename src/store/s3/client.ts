/** The AWS SDK's client as this program wants it: every default that matters here is set on purpose. */

import { X509Certificate } from "node:crypto";
import { Readable } from "node:stream";
import { rootCertificates } from "node:tls";
import type { S3ClientConfig } from "@aws-sdk/client-s3";
import { S3Client } from "@aws-sdk/client-s3";
import type { Clock } from "../../core/clock.ts";
import { DIRECT, type Egress } from "../../network/egress.ts";
import { Outbound } from "../../network/outbound.ts";
import { StoreError } from "../port.ts";

export interface S3Connection {
  /** Absent: as the SDK finds it (AWS_REGION, the profile); `us-east-1` where an endpoint is given. */
  readonly region?: string | undefined;
  /** `http(s)://host[:port][/path]` of an S3-compatible server. Absent: AWS. */
  readonly endpoint?: string | undefined;
  /** `endpoint/bucket/key` in place of `bucket.endpoint/key`. Default: true where an endpoint is given. */
  readonly forcePathStyle?: boolean | undefined;
  /** PEM of certificate authorities to trust besides those built into Node. */
  readonly caBundle?: string | undefined;
  /** Absent, as always outside tests: the SDK's default chain. */
  readonly credentials?: S3ClientConfig["credentials"] | undefined;
  /** Absent: no proxy. */
  readonly egress?: Egress | undefined;
  /** Longest silence, milliseconds: while connecting, until the answer begins, between two pieces of it. */
  readonly timeoutMs: number;
  /** Requests are signed with its time. */
  readonly clock: Clock;
}

export interface ConnectedS3Client {
  readonly client: S3Client;
  /** Where it talks to, for messages: `http://minio:9000, region us-east-1` or `AWS, region eu-west-1`. */
  readonly place: string;
}

/** Region where an endpoint but no region is given: what S3-compatible servers expect by default. */
const ENDPOINT_REGION = "us-east-1";

/** Idle connections are closed after this time: routers and load balancers forget them without a word. */
const IDLE_MS = 15_000;

/**
 * For the SDK's readers of ~/.aws, which get the client's whole configuration: without it a file is
 * read once in the life of the process. @smithy/core 3 submodules/config/shared-ini-file-loader/readFile.js
 */
const REREAD_FILES = { ignoreCache: true };

/** Rejects with STORE_MISCONFIGURED where endpoint, CA or region cannot be used. Opens no connection. */
export async function connectS3(connection: S3Connection): Promise<ConnectedS3Client> {
  const endpoint =
    connection.endpoint === undefined ? undefined : checkEndpoint(connection.endpoint);
  const region = connection.region ?? (endpoint === undefined ? undefined : ENDPOINT_REGION);
  const ca = connection.caBundle === undefined ? undefined : checkCa(connection.caBundle);
  const outbound = new Outbound(connection.egress ?? DIRECT, connection.timeoutMs);
  const client = withoutNodeVersionNotice(
    () =>
      new S3Client({
        ...(region === undefined ? {} : { region }),
        ...(endpoint === undefined ? {} : { endpoint }),
        ...(connection.credentials === undefined ? {} : { credentials: connection.credentials }),
        ...REREAD_FILES,
        forcePathStyle: connection.forcePathStyle ?? endpoint !== undefined,
        // No retries here: whoever calls the store retries, with one budget for everything.
        maxAttempts: 1,
        retryMode: "standard",
        // A checksum in a trailer needs a chunked body, which Ceph, R2, B2 and Spaces do not take.
        requestChecksumCalculation: "WHEN_REQUIRED",
        responseChecksumValidation: "WHEN_REQUIRED",
        // For `Expect: 100-continue` the SDK would open a new connection each time, without our CA.
        expectContinueHeader: false,
        // The SDK signs with Date.now() plus this.
        systemClockOffset: connection.clock.now().getTime() - Date.now(),
        customUserAgent: "kong-fallback",
        streamCollector: collectAnswer,
        requestHandler: {
          connectionTimeout: connection.timeoutMs,
          socketTimeout: connection.timeoutMs,
          httpAgent: outbound.httpAgent({ keepAlive: true, timeout: IDLE_MS }),
          httpsAgent: outbound.httpsAgent({
            keepAlive: true,
            timeout: IDLE_MS,
            // Whatever NODE_TLS_REJECT_UNAUTHORIZED says. The SDK's client of STS shares this agent.
            rejectUnauthorized: true,
            ...(ca === undefined ? {} : { ca }),
          }),
        },
      }),
  );
  endConnectionAfterPut(client);
  try {
    const resolved = await client.config.region();
    return { client, place: `${endpoint ?? "AWS"}, region ${resolved}` };
  } catch (cause) {
    client.destroy();
    throw new StoreError("STORE_MISCONFIGURED", "The s3:// store has no AWS region.", {
      cause,
      hint: "Set AWS_REGION to the bucket's region, e.g. eu-central-1. For an S3-compatible server set AWS_CONFIG_STORAGE_ENDPOINT.",
    });
  }
}

/**
 * Sends every PUT with `Connection: close`, so that no other request follows it. MinIO closes the
 * connection after its 412 without having said so: minio/minio@RELEASE.2025-09-07T16-13-09Z
 * cmd/object-handlers.go:PutObjectHandler writes the error a second time, and Go's net/http gives
 * the connection up for it. What is sent on it meanwhile is lost; of a conditional write nobody
 * then knows whether it took effect. Puts are rare, so that the new connections do not matter.
 */
function endConnectionAfterPut(client: S3Client): void {
  client.middlewareStack.add(
    (next) => (args) => {
      if (isPut(args.request)) args.request.headers["connection"] = "close";
      return next(args);
    },
    // Before the signature, which leaves this header out.
    { step: "build", name: "endConnectionAfterPut" },
  );
}

function isPut(request: unknown): request is { readonly headers: Record<string, string> } {
  return (
    typeof request === "object" &&
    request !== null &&
    "headers" in request &&
    "method" in request &&
    request.method === "PUT"
  );
}

/** A listing has 1000 entries at most, of some 1.5 kB at most. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;

/** For answers that the SDK wants whole (listings, errors), in place of its own `streamCollector`, which takes whatever comes. Rejects with Error, and gives the connection up, at the first byte too many. */
async function collectAnswer(stream: unknown): Promise<Uint8Array> {
  if (!(stream instanceof Readable)) throw new Error("an answer without a body");
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > MAX_ANSWER_BYTES) {
      throw new Error(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

function checkEndpoint(text: string): string {
  const hint =
    "AWS_CONFIG_STORAGE_ENDPOINT is the address of the server alone, e.g. https://minio.example:9000. Credentials go into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.";
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:\/\//i.test(text)) {
    throw new StoreError("STORE_MISCONFIGURED", "The S3 endpoint is not an http(s):// address.", {
      hint,
    });
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw new StoreError(
      "STORE_MISCONFIGURED",
      `The S3 endpoint at ${url.host} holds credentials, a "?" or a "#".`,
      { hint },
    );
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}

/** Node takes text without a certificate in it as "trust nobody else", and says nothing. */
function checkCa(pem: string): string[] {
  try {
    new X509Certificate(pem);
  } catch (cause) {
    throw new StoreError("STORE_MISCONFIGURED", "AWS_CA_BUNDLE holds no certificate.", {
      cause,
      hint: "It names a PEM file: -----BEGIN CERTIFICATE----- and so on.",
    });
  }
  return [...rootCertificates, pem];
}

/**
 * Builds the client without the SDK's notice that a later SDK will want a later Node: which Node
 * runs this pinned SDK is this program's business, not its user's. All other warnings pass. The
 * notice comes once per process from @aws-sdk/core (submodules/client, emitWarningIfUnsupportedVersion),
 * whose own switch is an environment variable.
 */
export function withoutNodeVersionNotice<T>(build: () => T): T {
  const { emitWarning } = process;
  process.emitWarning = (...args: unknown[]) => {
    if (String(args[0]).startsWith("NodeVersionSupportWarning:")) return;
    Reflect.apply(emitWarning, process, args);
  };
  try {
    return build();
  } finally {
    process.emitWarning = emitWarning;
  }
}
