/** The settings that say which exporter may write. */

import type { HostPort } from "../../core/host-port.ts";
import { parseElectionId, parseNamespace } from "./parsers.ts";
import type { SettingsReader } from "./reader.ts";

/** See Settings. */
export interface ElectionSettings {
  readonly election: "store" | "kubernetes" | "off";
  readonly leaseTtlMs: number;
  readonly electionId: string;
  readonly electionNamespace: string | undefined;
  readonly kubeconfig: string | undefined;
  /** The API server of the cluster this runs in; undefined outside of one. */
  readonly kubernetesService: HostPort | undefined;
}

export function readElection(read: SettingsReader): ElectionSettings {
  return {
    election: read.oneOf("KONG_FALLBACK_ELECTION", ["store", "kubernetes", "off"]) ?? "store",
    leaseTtlMs: read.seconds("KONG_FALLBACK_LEASE_TTL", 1, 300),
    electionId:
      read.parsed(
        "KONG_FALLBACK_ELECTION_ID",
        "lower-case letters, digits, - and .",
        parseElectionId,
      ) ?? "",
    electionNamespace: read.parsed(
      "KONG_FALLBACK_ELECTION_NAMESPACE",
      "a namespace",
      parseNamespace,
    ),
    kubeconfig: read.text("KUBECONFIG"),
    kubernetesService: readKubernetesService(read),
  };
}

/** Set in every pod; the port may be missing where somebody sets the host by hand. */
function readKubernetesService(read: SettingsReader): HostPort | undefined {
  const host = read.text("KUBERNETES_SERVICE_HOST");
  const port = read.integer("KUBERNETES_SERVICE_PORT", 1, 65_535);
  return host === undefined ? undefined : { host, port };
}
