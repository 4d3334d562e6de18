/** Starts a real MinIO. https://github.com/minio/minio */
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

export async function startMinio(options: FolderServerOptions = {}): Promise<S3Server> {
  const command = commandOf("minio");
  const version = await builtVersion(command);
  const account = { accessKeyId: "kong-fallback", secretAccessKey: "kong-fallback-secret" };
  return await startServer("minio", async (folder, daemons) => {
    const names = { cert: "public.crt", key: "private.key" };
    const { certs, data } = await layOut(folder, options, names);
    const endpoint = await onFreePort(options.port, async (port) => {
      const address = `127.0.0.1:${port}`;
      const endpoint = `${options.tls === undefined ? "http" : "https"}://${address}`;
      const daemon = await launch({
        command,
        args: ["server", "--quiet", "--address", address, "--certs-dir", certs, data],
        env: {
          MINIO_ROOT_USER: account.accessKeyId,
          MINIO_ROOT_PASSWORD: account.secretAccessKey,
          MINIO_BROWSER: "off",
          MINIO_UPDATE: "off",
        },
        logFile: join(folder, "log"),
        ready: async () => (await statusOf(`${endpoint}/minio/health/cluster`)) === 200,
      });
      daemons.push(daemon);
      return endpoint;
    });
    return { name: "MinIO", version, endpoint, ...account, region: "us-east-1" };
  });
}
