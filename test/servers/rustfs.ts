/**
 * Starts a real RustFS on one folder: a living S3 server that honours conditional writes.
 * https://docs.rustfs.com/
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

export async function startRustfs(options: FolderServerOptions = {}): Promise<S3Server> {
  const command = commandOf("rustfs");
  const version = await builtVersion(command);
  const account = { accessKeyId: "kong-fallback", secretAccessKey: "kong-fallback-secret" };
  return await startServer("rustfs", async (folder, daemons) => {
    const names = { cert: "rustfs_cert.pem", key: "rustfs_key.pem" };
    const { certs, data } = await layOut(folder, options, names);
    const endpoint = await onFreePort(options.port, async (port) => {
      const address = `127.0.0.1:${port}`;
      const endpoint = `${options.tls === undefined ? "http" : "https"}://${address}`;
      const daemon = await launch({
        command,
        args: ["server", "--address", address, data],
        env: {
          RUSTFS_ACCESS_KEY: account.accessKeyId,
          RUSTFS_SECRET_KEY: account.secretAccessKey,
          RUSTFS_CONSOLE_ENABLE: "false",
          RUSTFS_CHECK_UPDATE: "false",
          // `.ci/servers` builds it unoptimised: such code overflows the 1 MiB of a release build,
          // so it gets the 8 MiB that RustFS gives its own debug builds.
          RUSTFS_RUNTIME_THREAD_STACK_SIZE: `${8 * 1024 * 1024}`,
          ...(options.tls === undefined ? {} : { RUSTFS_TLS_PATH: certs }),
        },
        logFile: join(folder, "log"),
        ready: async () => (await statusOf(`${endpoint}/health/ready`)) === 200,
      });
      daemons.push(daemon);
      return endpoint;
    });
    return { name: "RustFS", version, endpoint, ...account, region: "us-east-1" };
  });
}
