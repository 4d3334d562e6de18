/** Starts a real kube-apiserver with an etcd of its own: RBAC is on, nothing else of a cluster runs. https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/ */

import { generateKeyPairSync, randomUUID } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { builtVersion, commandOf } from "./locate.ts";
import {
  type Daemon,
  freePort,
  launch,
  onFreePort,
  type RealServer,
  startServer,
  statusOf,
} from "./process.ts";

/** The binaries `startKubeApiserver` needs, for `locate`. */
export const kubeApiserverCommands = ["kube-apiserver", "etcd"] as const;

/** Somebody whom the API server knows by a token. */
export interface KubeUser {
  /** A service account is `system:serviceaccount:<namespace>:<name>`. */
  readonly name: string;
  readonly groups?: readonly string[];
  readonly token: string;
}

export type KubeApiserver = RealServer & {
  /** May do everything. */
  readonly admin: KubeUser;
};

export interface KubeApiserverOptions {
  readonly users: readonly KubeUser[];
  /** PEM texts of a certificate for 127.0.0.1. */
  readonly tls: { readonly cert: string; readonly key: string };
  /** PEM of the authority whose client certificates are accepted: CN is the user, O are the groups. */
  readonly clientCa?: string;
}

/** The data is thrown away: nothing needs to be written out. */
const endSignal = "SIGKILL";

export async function startKubeApiserver(options: KubeApiserverOptions): Promise<KubeApiserver> {
  const command = commandOf("kube-apiserver");
  const version = await builtVersion(command);
  const admin: KubeUser = { name: "admin", groups: ["system:masters"], token: randomUUID() };
  return await startServer("kube-apiserver", async (folder, daemons) => {
    const files = await layOutFiles(folder, [admin, ...options.users], options);
    const etcd = await startEtcd(folder, daemons);
    const endpoint = await onFreePort(undefined, async (port) => {
      const endpoint = `https://127.0.0.1:${port}`;
      const daemon = await launch({
        command,
        args: [
          ...["--bind-address", "127.0.0.1", "--secure-port", `${port}`],
          ...["--etcd-servers", etcd, "--authorization-mode", "RBAC"],
          ...["--service-cluster-ip-range", "10.0.0.0/24"],
          ...["--service-account-issuer", "https://kubernetes.default.svc"],
          // There is nobody to make the service accounts that pods would need.
          ...["--disable-admission-plugins", "ServiceAccount"],
          ...files,
        ],
        endSignal,
        logFile: join(folder, "log"),
        ready: async () => (await statusOf(`${endpoint}/readyz`)) === 200,
        readyDeadlineMs: 120_000,
      });
      daemons.push(daemon);
      return endpoint;
    });
    return { name: "kube-apiserver", version, endpoint, admin };
  });
}

/** Resolves with the arguments that name the files. */
async function layOutFiles(
  folder: string,
  users: readonly KubeUser[],
  { tls, clientCa }: KubeApiserverOptions,
): Promise<readonly string[]> {
  const certs = join(folder, "certs");
  await mkdir(certs);
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const texts: Readonly<Record<string, string>> = {
    "tls-cert-file": tls.cert,
    "tls-private-key-file": tls.key,
    "service-account-signing-key-file": pem(privateKey.export({ type: "sec1", format: "pem" })),
    "service-account-key-file": pem(publicKey.export({ type: "spki", format: "pem" })),
    "token-auth-file": users
      .map(({ token, name, groups = [] }) => `${token},${name},${name},"${groups.join()}"\n`)
      .join(""),
    ...(clientCa === undefined ? {} : { "client-ca-file": clientCa }),
  };
  const args = ["--cert-dir", certs];
  for (const [flag, text] of Object.entries(texts)) {
    const path = join(certs, flag);
    await writeFile(path, text, { mode: 0o600 });
    args.push(`--${flag}`, path);
  }
  return args;
}

async function startEtcd(folder: string, daemons: Daemon[]): Promise<string> {
  const command = commandOf("etcd");
  return await onFreePort(undefined, async (port) => {
    const endpoint = `http://127.0.0.1:${port}`;
    const peer = `http://127.0.0.1:${await freePort()}`;
    const daemon = await launch({
      command,
      args: [
        ...["--data-dir", join(folder, `etcd-${port}`), "--unsafe-no-fsync"],
        ...["--listen-client-urls", endpoint, "--advertise-client-urls", endpoint],
        ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
        ...["--initial-cluster", `default=${peer}`],
      ],
      endSignal,
      logFile: join(folder, "etcd-log"),
      ready: async () => (await statusOf(`${endpoint}/health`)) === 200,
    });
    daemons.push(daemon);
    return endpoint;
  });
}

function pem(text: string | Buffer): string {
  return text.toString();
}
