/** Authorization for Cloud Storage: a service account, or Application Default Credentials, by the SDK. */

import { createPrivateKey } from "node:crypto";
import { Storage } from "@google-cloud/storage";
import type { Secret } from "../../core/secret.ts";
import type { Outbound } from "../../network/outbound.ts";
import { StoreError } from "../port.ts";

/** Headers that authorize a request; rejects with an error of the SDK, which may hold secrets. */
export type Authorize = () => Promise<Readonly<Record<string, string>>>;

/**
 * `credentials` is the JSON text of a service-account key; absent, Application Default Credentials
 * are looked for at the first call. Tokens are kept and renewed by the SDK. Its token requests are
 * not retried and end after `timeoutMs`; left as they are: three tries of the metadata server.
 * Throws STORE_DENIED for `credentials` that cannot work.
 */
export function googleCredentials(
  credentials: Secret<string> | undefined,
  outbound: Outbound,
  timeoutMs: number,
): Authorize {
  const { authClient } = new Storage({
    // No request of ours belongs to a project; without one the SDK would run `gcloud` to find it.
    projectId: "-",
    ...(credentials === undefined ? {} : { credentials: parseServiceAccount(credentials) }),
    // For the SDK's own requests, of which none is made: `maxRetries: 0` alone would mean 3.
    retryOptions: { autoRetry: false },
    clientOptions: {
      // Without a timeout, one stalled token request would hold up every later one: they share it.
      transporterOptions: {
        agent: outbound.agents(),
        timeout: timeoutMs,
        retryConfig: { retry: 0, noResponseRetries: 0 },
      },
    },
  });
  return () => authClient.getRequestHeaders();
}

/** The fields of a service-account key file that signing needs. https://cloud.google.com/iam/docs/keys-create-delete */
interface ServiceAccount {
  readonly type: "service_account";
  readonly client_email: string;
  /** PEM. */
  readonly private_key: string;
}

const HINT =
  "Set GCP_SERVICE_ACCOUNT to the JSON text of a service-account key file (not its path, not base64), or unset it and use Application Default Credentials.";

/**
 * Parses the JSON text. STORE_DENIED if it is not a usable service account; the message names the
 * field at fault and never quotes the text: even a JSON parser's complaint can show part of the key.
 */
function parseServiceAccount(text: Secret): ServiceAccount {
  const fields = parseObject(text.reveal());
  const { type, client_email, private_key } = fields;
  if (type !== "service_account") {
    throw unusable('its "type" is not "service_account"', {
      hint: `${HINT} Other kinds, such as workload identity federation, go in a file named by GOOGLE_APPLICATION_CREDENTIALS.`,
    });
  }
  if (typeof client_email !== "string" || client_email === "") {
    throw unusable('it has no "client_email"');
  }
  if (typeof private_key !== "string" || private_key === "") {
    throw unusable('it has no "private_key"');
  }
  try {
    createPrivateKey(private_key);
  } catch {
    // OpenSSL's reason adds nothing for the reader, so it is dropped with the input it is about.
    throw unusable('its "private_key" is not a PEM private key', {
      hint: `${HINT} Its line breaks must have survived: in the JSON they are written \\n, once escaped.`,
    });
  }
  return { type, client_email, private_key };
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw unusable("it is not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw unusable("it is not a JSON object");
  }
  return { ...value };
}

function unusable(fault: string, { hint }: { readonly hint: string } = { hint: HINT }): StoreError {
  return new StoreError("STORE_DENIED", `GCP_SERVICE_ACCOUNT is not usable: ${fault}.`, { hint });
}
