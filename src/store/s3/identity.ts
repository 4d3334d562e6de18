/** Who this program is to the S3 server: found by the SDK's chain, and looked for again once a server does not take it. */

import type { S3Client } from "@aws-sdk/client-s3";
import { isTlsCode, nodeCodeOf, SOCKET_CODE } from "../../core/node-code.ts";
import type { StoreError } from "../port.ts";
import {
  denied,
  fault,
  isTimeout,
  misconfigured,
  type StoreAttempt,
  unavailable,
  type Verdict,
} from "../verdict.ts";
import { describeAnswer, describeFailure, readAnswer, verdictOn } from "./verdicts.ts";

/** How long a role may be missing before it is not expected any more: an agent on a new machine starts late. */
const PATIENCE_MS = 3_000;

/** Names of S3's refusals that other credentials would not meet. */
const REFUSALS: ReadonlySet<string | undefined> = new Set([
  "ExpiredToken",
  "ExpiredTokenException",
  "InvalidAccessKeyId",
  "InvalidClientTokenId",
  "InvalidToken",
  "SignatureDoesNotMatch",
  "TokenRefreshRequired",
  "UnrecognizedClientException",
]);

export class Identity {
  readonly #client: S3Client;
  #isRefused = false;
  #missingSinceMs: number | undefined;

  constructor(client: S3Client) {
    this.#client = client;
  }

  /**
   * Resolves when there are credentials. The SDK keeps them, renews them when less than five minutes
   * are left, and asks once for many requests:
   * @aws-sdk/credential-provider-node 3.972 dist-es/runtime/memoize-chain.js.
   */
  async find(attempt: StoreAttempt): Promise<void> {
    const nowMs = () => attempt.clock.monotonicMs();
    const sinceMs = this.#missingSinceMs ?? nowMs();
    this.#missingSinceMs = sinceMs;
    try {
      await this.#client.config.credentials({ forceRefresh: this.#isRefused });
      this.#isRefused = false;
      this.#missingSinceMs = undefined;
    } catch (error) {
      throw identityError(error, attempt, nowMs() - sinceMs < PATIENCE_MS);
    }
  }

  /**
   * To be told of every failed request. After some refusals credentials are looked for anew, in files
   * too: those that do not say when they expire, as in a file that another program renews, the SDK
   * would keep for ever.
   */
  heard(error: unknown): void {
    if (REFUSALS.has(readAnswer(error)?.name)) this.#isRefused = true;
  }
}

const ROLE_HINT =
  "Check the role's ARN (AWS_ROLE_ARN, or role_arn in the profile), its trust policy, and that the token or key it is asked for with is still valid.";

const SERVICE_HINT =
  "It is the token service (sts.<region>.amazonaws.com, or AWS_ENDPOINT_URL_STS): look at egress rules and DNS.";

const MISSING_HINT =
  "Looked at: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile AWS_PROFILE in ~/.aws, a web identity token (EKS), the container role (ECS, EKS Pod Identity), the machine's role (EC2). Set one of them.";

/** No credentials could be had. What the SDK keeps on its exceptions stays here, as in `s3Error`. */
function identityError(error: unknown, attempt: StoreAttempt, isEarly: boolean): StoreError {
  const answer = readAnswer(error);
  const said = answer === undefined ? describeFailure(error) : describeAnswer(answer);
  const { why, ...verdict } = verdictOnIdentity(error, attempt, isEarly);
  return fault(attempt, { ...verdict, why: `${why} (${said})` }, { cause: new Error(said) });
}

function verdictOnIdentity(error: unknown, attempt: StoreAttempt, isEarly: boolean): Verdict {
  const code = nodeCodeOf(error);
  const answer = readAnswer(error);
  if (answer !== undefined) {
    const { code: meaning, why, hint = ROLE_HINT } = verdictOn(answer, attempt);
    // STS could not ask the issuer of the token: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
    if (meaning === "STORE_UNAVAILABLE" || answer.name === "IDPCommunicationError") {
      return unavailable("AWS's token service is overloaded or in trouble", SERVICE_HINT);
    }
    if (why.startsWith("the clocks")) return { ...misconfigured(why, hint), retryable: true };
    return denied("AWS's token service refuses the role", ROLE_HINT);
  }
  // Node's errors about files have codes like those about sockets.
  if (!hasPath(error)) {
    if (isTlsCode(code)) {
      return misconfigured(
        "the certificate of AWS's token service is not trusted",
        "A proxy that terminates TLS in between? Name its CA's PEM file in AWS_CA_BUNDLE.",
      );
    }
    if (isTimeout(error) || SOCKET_CODE.test(code)) {
      return unavailable("AWS's token service cannot be reached", SERVICE_HINT);
    }
  }
  const missing = denied("no usable credentials were found", MISSING_HINT);
  return { ...missing, retryable: isEarly };
}

function hasPath(error: unknown): boolean {
  return error instanceof Error && "path" in error;
}
