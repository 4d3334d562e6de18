/** Starts a real `rclone serve s3` over a local folder. https://rclone.org/commands/rclone_serve_s3/ */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { builtVersion, commandOf } from "./locate.ts";
import { launch, onFreePort, type S3Server, startServer, statusOf } from "./process.ts";

export async function startRclone(options: { readonly port?: number } = {}): Promise<S3Server> {
  const command = commandOf("rclone-serve-s3");
  const version = await builtVersion(command);
  const account = { accessKeyId: "kong-fallback", secretAccessKey: "kong-fallback-secret" };
  return await startServer("rclone", async (folder, daemons) => {
    const data = join(folder, "data");
    await mkdir(data);
    const endpoint = await onFreePort(options.port, async (port) => {
      const address = `127.0.0.1:${port}`;
      const auth = `${account.accessKeyId},${account.secretAccessKey}`;
      const daemon = await launch({
        command,
        args: ["serve", "s3", data, "--addr", address, "--auth-key", auth],
        // No file is there; it keeps out the settings of whoever runs the tests.
        env: { RCLONE_CONFIG: join(folder, "none.conf"), RCLONE_CACHE_DIR: join(folder, "cache") },
        logFile: join(folder, "log"),
        // There is no health endpoint; an unsigned request is answered (with 400) once it serves.
        ready: async () => (await statusOf(`http://${address}/`)) > 0,
      });
      daemons.push(daemon);
      return `http://${address}`;
    });
    return { name: "rclone serve s3", version, endpoint, ...account, region: "us-east-1" };
  });
}
