import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "vitest";
import { Stage } from "../e2e/stage.ts";
import { runLimited } from "./limited.ts";

const TIMEOUT_MS = 180_000;

/** Sends every process to an S3 that answers whatever `listener` says. */
async function facing<T>(
  listener: RequestListener,
  use: (environment: Readonly<Record<string, string>>) => Promise<T>,
): Promise<T> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  await using stage = await Stage.open();
  try {
    return await use(
      stage.environment(1, {
        KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "s3://bucket/p",
        AWS_CONFIG_STORAGE_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        AWS_REGION: "us-east-1",
        AWS_ACCESS_KEY_ID: "fake-key-id",
        AWS_SECRET_ACCESS_KEY: "fake-secret",
        AWS_EC2_METADATA_DISABLED: "true",
        KONG_FALLBACK_MAX_CONFIG_BYTES: "16777216",
        KONG_FALLBACK_READ_TIMEOUT: "5",
      }),
    );
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** A page of a listing after which there is always another one. */
function endless(keysOf: (page: number) => readonly string[]): RequestListener {
  let page = 0;
  return (request, response) => {
    page += 1;
    if (!request.url?.includes("list-type=2")) return void response.writeHead(404).end();
    const contents = keysOf(page).map(
      (key) => `<Contents><Key>${key}</Key><ETag>"e"</ETag><Size>1</Size></Contents>`,
    );
    response.setHeader("content-type", "application/xml");
    response.end(
      `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>${page}</NextContinuationToken>${contents.join("")}</ListBucketResult>`,
    );
  };
}

const THOUSAND = Array.from({ length: 1_000 }, (_, index) => index);
const time = (n: number) => new Date(n).toISOString().replaceAll(/[-:]/g, "");
const idOf = (n: number) => `p/3.9.1/history/${time(n)}-0123456789ab.json.gz`;

describe("a hostile store", () => {
  const listings: readonly (readonly [string, RequestListener, RegExp])[] = [
    ["of nothing", endless(() => []), /the listing does not end, not after 1000 pages/],
    ["of strangers", endless((page) => [`p/3.9.1/history/${page}`]), /not after 1000 pages/],
    [
      "of history",
      endless((page) => THOUSAND.map((n) => idOf(page * 1_000 + n))),
      /it has more than 100000 entries/,
    ],
  ];
  for (const [what, listener, says] of listings) {
    it(`that never ends its listing ${what} is given up`, { timeout: TIMEOUT_MS }, async () => {
      await facing(listener, async (environment) => {
        const patient = { ...environment, KONG_FALLBACK_READ_TIMEOUT: "60" };
        const { status, stderr, peakMb } = await runLimited(["snapshots", "list"], patient);
        assert.equal(status, 4, stderr);
        assert.match(stderr, says);
        assert.match(stderr, /\[STORE_MISCONFIGURED\]/);
        assert.ok(peakMb < 400, `${peakMb} MiB`);
      });
    });
  }

  const bodies: readonly (readonly [string, RequestListener])[] = [
    [
      "that sends an object without end",
      (_, response) => {
        const chunk = Buffer.alloc(1024 * 1024, " ");
        response.writeHead(200, { etag: '"e"', "content-type": "application/json" });
        const more = () => {
          while (!response.destroyed && response.write(chunk));
          response.once("drain", more);
        };
        more();
      },
    ],
    [
      "that announces more than there can be",
      (_, response) => {
        response.writeHead(200, { etag: '"e"', "content-length": "99999999999999" });
        response.write("{");
      },
    ],
    [
      "whose metadata are absurd",
      (_, response) => {
        const headers = Object.fromEntries(
          ["format", "kong-version", "bytes", "fencing-token", "exported-at"].map((name) => [
            `x-amz-meta-${name}`,
            name === "format" ? "kong-fallback/1" : `1e309 NaN -1 \u009b2J ${"9".repeat(1_500)}`,
          ]),
        );
        response.writeHead(200, { etag: '"e"', ...headers }).end("{}");
      },
    ],
    [
      "of a future that a terminal obeys",
      (_, response) => {
        const headers = { "x-amz-meta-format": `\u009b2J\u0085${"x".repeat(9_000)}` };
        response.writeHead(200, { etag: '"e"', ...headers }).end("{}");
      },
    ],
  ];
  for (const [what, listener] of bodies) {
    it(`${what} is refused in plain words`, { timeout: TIMEOUT_MS }, async () => {
      await facing(listener, async (environment) => {
        const argv = ["import", "--force"];
        const { status, stderr, peakMb } = await runLimited(argv, environment);
        assert.ok(status === 3 || status === 4, `${status}\n${stderr}`);
        assert.match(stderr, /\[(STORE|SNAPSHOT)_[A-Z_]+\]/);
        assert.ok(!/[\u007f-\u009f]|\n {4}at /.test(stderr), stderr);
        assert.ok(stderr.length < 5_000, `${stderr.length} characters`);
        assert.ok(peakMb < 400, `${peakMb} MiB`);
      });
    });
  }
});
