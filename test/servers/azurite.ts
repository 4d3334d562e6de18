/** Starts a real Azurite, blobs only. https://github.com/Azure/Azurite */
import { join } from "node:path";
import { builtVersion, commandOf } from "./locate.ts";
import {
  type FolderServerOptions,
  launch,
  layOut,
  onFreePort,
  type Running,
  type ServerFacts,
  startServer,
  statusOf,
} from "./process.ts";

export interface AzuriteFacts extends ServerFacts {
  readonly account: string;
  /** Of this server only. */
  readonly accountKey: string;
}

/** A running Azurite with one account and no container. */
export type AzuriteServer = AzuriteFacts & Running;

export interface AzuriteOptions extends FolderServerOptions {
  /** Takes access tokens, too, and looks at their claims but not at their signature; asks for `tls`. */
  readonly oauth?: boolean;
}

export async function startAzurite(options: AzuriteOptions = {}): Promise<AzuriteServer> {
  const command = commandOf("azurite");
  const version = await builtVersion(command);
  const account = "kongfallback";
  const accountKey = Buffer.from("kong-fallback-test-account-key").toString("base64");
  return await startServer("azurite", async (folder, daemons) => {
    const names = { cert: "cert.pem", key: "key.pem" };
    const { certs, data } = await layOut(folder, options, names);
    const tls = ["--cert", join(certs, names.cert), "--key", join(certs, names.key)];
    const endpoint = await onFreePort(options.port, async (port) => {
      const endpoint = `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${port}`;
      const daemon = await launch({
        command,
        args: [
          ...["--blobHost", "127.0.0.1", "--blobPort", `${port}`, "--location", data],
          // The SDK's version of the protocol is newer than Azurite.
          ...["--silent", "--skipApiVersionCheck", "--disableTelemetry"],
          ...(options.tls === undefined ? [] : tls),
          ...(options.oauth === true ? ["--oauth", "basic"] : []),
        ],
        env: { AZURITE_ACCOUNTS: `${account}:${accountKey}` },
        logFile: join(folder, "log"),
        // There is no health endpoint; an unsigned request is refused once it serves.
        ready: async () => (await statusOf(`${endpoint}/${account}?comp=list`)) >= 400,
      });
      daemons.push(daemon);
      return endpoint;
    });
    return { name: "Azurite", version, endpoint, account, accountKey };
  });
}
