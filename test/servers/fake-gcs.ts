/** Starts a real fake-gcs-server, in memory. https://github.com/fsouza/fake-gcs-server */
import { join } from "node:path";
import { builtVersion, commandOf } from "./locate.ts";
import { launch, onFreePort, type RealServer, startServer, statusOf } from "./process.ts";

/** Any credentials do; `endpoint` is what `STORAGE_EMULATOR_HOST` takes. */
export async function startFakeGcs(options: { readonly port?: number } = {}): Promise<RealServer> {
  const command = commandOf("fake-gcs-server");
  const version = await builtVersion(command);
  return await startServer("fake-gcs", async (folder, daemons) => {
    const endpoint = await onFreePort(options.port, async (port) => {
      const endpoint = `http://127.0.0.1:${port}`;
      const server = ["-scheme", "http", "-host", "127.0.0.1", "-port", `${port}`];
      // Without these two, upload sessions and media links point to storage.googleapis.com.
      const links = ["-external-url", endpoint, "-public-host", `127.0.0.1:${port}`];
      const daemon = await launch({
        command,
        args: [...server, ...links, "-backend", "memory", "-data", folder],
        logFile: join(folder, "log"),
        ready: async () => (await statusOf(`${endpoint}/_internal/healthcheck`)) === 200,
      });
      daemons.push(daemon);
      return endpoint;
    });
    return { name: "fake-gcs-server", version, endpoint };
  });
}
