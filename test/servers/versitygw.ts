/**
 * Starts a real versitygw on one folder: a living S3 server that honours conditional writes.
 * https://github.com/versity/versitygw/wiki
 */
import { join } from "node:path";
import { builtVersion, commandOf } from "./locate.ts";
import {
  type FolderServerOptions,
  launch,
  layOut,
  onFreePort,
  type S3Server,
  startServer,
  statusOf,
} from "./process.ts";

export interface VersitygwOptions extends FolderServerOptions {
  /** ETags are `CRC64NVME-...` of the body, rather than its MD5. */
  readonly dataIntegrityEtag?: boolean;
}

export async function startVersitygw(options: VersitygwOptions = {}): Promise<S3Server> {
  const command = commandOf("versitygw");
  const version = await builtVersion(command);
  const account = { accessKeyId: "kong-fallback", secretAccessKey: "kong-fallback-secret" };
  return await startServer("versitygw", async (folder, daemons) => {
    const names = { cert: "cert.pem", key: "key.pem" };
    const { certs, data } = await layOut(folder, options, names);
    const tls = ["--cert", join(certs, names.cert), "--key", join(certs, names.key)];
    const endpoint = await onFreePort(options.port, async (port) => {
      const address = `127.0.0.1:${port}`;
      const endpoint = `${options.tls === undefined ? "http" : "https"}://${address}`;
      const daemon = await launch({
        command,
        args: [
          ...["--port", address, "--health", "/health", "--quiet"],
          ...(options.tls === undefined ? [] : tls),
          "posix",
          ...(options.dataIntegrityEtag === true ? ["--data-integrity-etag"] : []),
          data,
        ],
        env: {
          ROOT_ACCESS_KEY_ID: account.accessKeyId,
          ROOT_SECRET_ACCESS_KEY: account.secretAccessKey,
        },
        logFile: join(folder, "log"),
        ready: async () => (await statusOf(`${endpoint}/health`)) === 200,
      });
      daemons.push(daemon);
      return endpoint;
    });
    return { name: "versitygw", version, endpoint, ...account, region: "us-east-1" };
  });
}
