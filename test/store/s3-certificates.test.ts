/** The certificate of an S3 server is always verified. */

import { describe, it, vi } from "vitest";
import { certificateAuthority, daysFromNow } from "../fakes/certificates.ts";
import { FakeS3 } from "../fakes/s3-server.ts";
import { get, put } from "./conformance/client.ts";
import { refused } from "./refused.ts";
import { openS3 } from "./s3-support.ts";

const authority = await certificateAuthority();

type Issued = ReturnType<typeof authority.issue>;

async function serve(issued: Issued): Promise<FakeS3> {
  const { cert, key } = await issued;
  return FakeS3.start({ tls: { cert, key: key.reveal() } });
}

const open = (s3: FakeS3, caBundle: string) =>
  openS3({ endpoint: s3.endpoint, accessKeyId: "fake-key-id" }, { caBundle });

describe("S3 over https", () => {
  it("is served where the CA, the name and the dates are right", async () => {
    await using s3 = await serve(authority.issue("127.0.0.1"));
    await using store = await open(s3, authority.cert);
    await put(store, "a", "1");
  });

  const wrong: readonly (readonly [string, () => Issued, RegExp, RegExp])[] = [
    [
      "of another CA",
      async () => (await certificateAuthority("Another")).issue("127.0.0.1"),
      /certificate is not trusted/,
      /AWS_CA_BUNDLE/,
    ],
    [
      "that has expired",
      () => authority.issue("127.0.0.1", { notBefore: daysFromNow(-9), notAfter: daysFromNow(-1) }),
      /certificate is not trusted \(.*CERT_HAS_EXPIRED/,
      /expired, renew it/,
    ],
    [
      "for another host",
      () => authority.issue("other.example"),
      /certificate is for another host/,
      /AWS_CONFIG_STORAGE_ENDPOINT/,
    ],
  ];

  it.each(wrong)("refuses a certificate %s, and sends nothing", async (_, issue, message, hint) => {
    await using s3 = await serve(issue());
    await using store = await open(s3, authority.cert);
    await refused(get(store, "a"), { code: "STORE_MISCONFIGURED", message, hint });
    if (s3.requests.length > 0) throw new Error("it was asked");
  });

  it("refuses it under NODE_TLS_REJECT_UNAUTHORIZED=0, too", async () => {
    vi.stubEnv("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    try {
      await using s3 = await serve(authority.issue("other.example"));
      await using store = await open(s3, authority.cert);
      await refused(get(store, "a"), { code: "STORE_MISCONFIGURED", message: /another host/ });
    } finally {
      vi.unstubAllEnvs();
    }
  });
});
