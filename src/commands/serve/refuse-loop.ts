/** `serve` in front of itself: whoever copies a data plane's environment gets it so. */

import { isIPv4 } from "node:net";
import { formatHostPort, type HostPort } from "../../core/host-port.ts";
import { SettingsError } from "../../runtime/settings.ts";

const ALL_ADDRESSES = ["0.0.0.0", "::"];
const LOOPBACK = ["localhost", "127.0.0.1", "::1", ...ALL_ADDRESSES];

/**
 * Throws SettingsError where `upstream` is surely the address that `serve` listens on, written one
 * way or another. `hostname`: of this machine. No name is looked up.
 */
export function refuseLoop(listen: HostPort, upstream: HostPort, hostname: string): void {
  if (listen.port !== upstream.port || !reaches(upstream.host, listen.host, hostname)) return;
  const [own, other] = [formatHostPort(listen), formatHostPort(upstream)];
  throw new SettingsError(
    [
      `KONG_CLUSTER_CONTROL_PLANE: is ${other}, which is where serve itself listens (KONG_FALLBACK_LISTEN is ${own})`,
    ],
    "For serve it names the real control plane; only the data planes' own KONG_CLUSTER_CONTROL_PLANE names serve.",
  );
}

/** Whether a connection to `host` arrives where `listen` listens, if the ports are the same. */
function reaches(host: string, listen: string, hostname: string): boolean {
  const [to, at] = [host.toLowerCase(), listen.toLowerCase()];
  if (to === at || (LOOPBACK.includes(to) && LOOPBACK.includes(at))) return true;
  const isOwn = to === hostname.toLowerCase() || (isIPv4(to) && to.startsWith("127."));
  return isOwn && ALL_ADDRESSES.includes(at);
}
