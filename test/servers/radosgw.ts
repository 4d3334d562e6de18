/**
 * Starts a real Ceph RADOS Gateway on a cluster of one monitor and one in-memory OSD, all plain
 * processes with their own configuration: /etc/ceph and /var/lib/ceph are not read or written.
 * https://docs.ceph.com/en/latest/radosgw/
 */
import { randomUUID } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { commandOf } from "./locate.ts";
import {
  type Daemon,
  launch,
  onFreePort,
  run,
  type S3Server,
  startServer,
  statusOf,
} from "./process.ts";

/** The binaries `startRadosgw` needs, for `locate`. */
export const radosgwCommands = [
  "monmaptool",
  "ceph-mon",
  "ceph",
  "ceph-osd",
  "radosgw",
  "radosgw-admin",
] as const;

/** The data is thrown away, and an OSD whose monitor is gone does not end by itself. */
const endSignal = "SIGKILL";

export async function startRadosgw(options: { readonly port?: number } = {}): Promise<S3Server> {
  const version = (await run(commandOf("radosgw"), ["--version"])).match(/\d+\.\d+\.\d+/)?.[0];
  const account = { accessKeyId: "kong-fallback", secretAccessKey: "kong-fallback-secret" };
  return await startServer("radosgw", async (folder, daemons) => {
    const conf = await startCluster(folder, daemons);
    const endpoint = await onFreePort(options.port, async (port) => {
      const address = `127.0.0.1:${port}`;
      const frontend = ["--rgw-frontends", `beast endpoint=${address}`];
      const daemon = await launch({
        command: commandOf("radosgw"),
        args: ["-c", conf, "-n", "client.rgw", "-f", ...frontend],
        endSignal,
        logFile: join(folder, "radosgw.out"),
        ready: async () => (await statusOf(`http://${address}/swift/healthcheck`)) === 200,
      });
      daemons.push(daemon);
      return `http://${address}`;
    });

    const user = ["--uid", "kong-fallback", "--display-name", "kong-fallback"];
    const keys = ["--access-key", account.accessKeyId, "--secret-key", account.secretAccessKey];
    const admin = commandOf("radosgw-admin");
    await run(admin, ["-c", conf, "-n", "client.rgw", "user", "create", ...user, ...keys]);
    const facts = { name: "Ceph radosgw", version: version ?? "unknown version", endpoint };
    return { ...facts, ...account, region: "us-east-1" };
  });
}

/** Returns the path of ceph.conf; adds what it starts to `daemons`. */
async function startCluster(folder: string, daemons: Daemon[]): Promise<string> {
  const clusterId = randomUUID();
  const conf = join(folder, "ceph.conf");
  for (const name of ["mon", "osd", "run", "log"]) await mkdir(join(folder, name));

  daemons.push(
    await onFreePort(undefined, async (port) => {
      const monitor = `v2:127.0.0.1:${port}/0`;
      const monitorMap = join(folder, `monmap-${port}`);
      await writeFile(conf, configuration(folder, clusterId, monitor));
      const add = ["--addv", "a", `[v2:127.0.0.1:${port}]`, monitorMap];
      await run(commandOf("monmaptool"), ["--create", "--clobber", "--fsid", clusterId, ...add]);
      await rm(join(folder, "mon"), { recursive: true, force: true });
      const self = ["-c", conf, "-i", "a"];
      await run(commandOf("ceph-mon"), [...self, "--mkfs", "--monmap", monitorMap]);
      return await launch({
        command: commandOf("ceph-mon"),
        args: [...self, "-f"],
        endSignal,
        logFile: join(folder, "mon.out"),
        ready: async () => (await ceph(conf, "quorum_status")).includes('"quorum_names":["a"]'),
      });
    }),
  );

  const osdId = randomUUID();
  await ceph(conf, "osd", "new", osdId, "0");
  const self = ["-c", conf, "-i", "0"];
  await run(commandOf("ceph-osd"), [...self, "--mkfs", "--osd-uuid", osdId]);
  const upOsds = async () => JSON.parse(await ceph(conf, "osd", "stat")).num_up_osds;
  daemons.push(
    await launch({
      command: commandOf("ceph-osd"),
      args: [...self, "-f"],
      endSignal,
      logFile: join(folder, "osd.out"),
      ready: async () => (await upOsds()) === 1,
    }),
  );
  return conf;
}

function ceph(conf: string, ...command: string[]): Promise<string> {
  const options = ["-c", conf, "--connect-timeout", "5", "--format", "json"];
  return run(commandOf("ceph"), [...options, ...command]);
}

function configuration(folder: string, clusterId: string, monitor: string): string {
  return `
[global]
fsid = ${clusterId}
mon host = ${monitor}
# radosgw wants an encrypted monitor connection by default, which needs cephx; there is none here.
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms bind msgr1 = false
ms bind ipv6 = false
public network = 127.0.0.0/8
# One OSD and one copy; without these, every pool waits for two more.
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
# Each pool is a round of votes, batched for a second by default.
paxos propose interval = 0.02
paxos min wait = 0.01
run dir = ${folder}/run
keyring = ${folder}/keyring
admin socket =
pid file =
log file = ${folder}/log/$name.log
[mon.a]
host = localhost
mon data = ${folder}/mon
[osd.0]
osd data = ${folder}/osd
osd objectstore = memstore
memstore device bytes = 1073741824
# Debian's default list leaves out classes that radosgw calls.
osd class load list = *
osd class default list = *
`;
}
