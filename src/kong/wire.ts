/** Constants of Kong's hybrid mode, version 1 of its protocol, as both sides use them. */

/** Where a data plane's WebSocket goes. Kong/kong@3.9.1 kong/templates/nginx_kong.lua */
export const CLUSTER_PATH = "/v1/outlet";

/** A data plane pings this often, milliseconds. Kong/kong@3.9.1 kong/constants.lua:CLUSTERING_PING_INTERVAL */
export const PING_INTERVAL_MS = 30_000;

/** Either side gives up after this long without a frame: 1.5 ping intervals. Kong/kong@3.9.1 kong/clustering/data_plane.lua:PING_WAIT */
export const SILENCE_LIMIT_MS = PING_INTERVAL_MS * 1.5;

/**
 * Within this time all nodes of a control plane hand out a change that one of them does: each looks for
 * changes every `db_update_frequency`, by default 5 s, pushes them no more often than that, and may take
 * as long again to put a large config together, milliseconds. Kong/kong@3.9.1 kong/clustering/control_plane.lua:push_config_loop
 */
export const PROPAGATION_MS = 15_000;

/** For each step of the handshake, and for `basic_info` to arrive. Kong/kong@3.9.1 kong/constants.lua:CLUSTERING_TIMEOUT */
export const STEP_TIMEOUT_MS = 5_000;

/** Name in a shared cluster certificate, and always the SNI in that mode. Kong/kong@3.9.1 kong/cmd/hybrid.lua, kong/clustering/utils.lua */
export const SHARED_SERVER_NAME = "kong_clustering";
