/**
 * Starts a real RustFS on one folder: the living server that MinIO's users move to, and one that
 * honours conditional writes. https://docs.rustfs.com/
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { builtVersion, commandOf } from "./locate.ts";
import {
  type FolderServerOptions,
  launch,
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
    const certs = join(folder, "certs");
    await mkdir(certs);
    if (options.tls !== undefined) {
      await writeFile(join(certs, "rustfs_cert.pem"), options.tls.cert);
      await writeFile(join(certs, "rustfs_key.pem"), options.tls.key, { mode: 0o600 });
    }
    const data = options.dataDir ?? join(folder, "data");
    await mkdir(data, { recursive: true });

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
