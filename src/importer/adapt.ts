/** Between the snapshot and the target: makes the config fit a Kong that would refuse it, and tells what that costs. */

import type { Log } from "../core/log.ts";
import { type AdaptTarget, adaptConfig } from "../kong/adapt/adapt-config.ts";
import type { Change } from "../kong/adapt/drop-entities.ts";
import { checkConfig } from "../kong/checks/check-config.ts";
import type { Snapshot } from "../snapshots/snapshot.ts";

/** Lines of log for what was dropped, and as many for what is left; a count stands for the rest. */
const MAX_LOGGED = 50;

export interface AdaptedSnapshot {
  /** The same where nothing was changed; else without metadata, for no digest or hash is right any more. */
  readonly snapshot: Snapshot;
  readonly changes: readonly Change[];
}

export function adaptSnapshot(snapshot: Snapshot, target: AdaptTarget, log: Log): AdaptedSnapshot {
  const { config, changes } = adaptConfig(snapshot.config, target);
  const { kongVersion, plugins } = target;
  if (changes.length === 0) {
    log.debug({ kongVersion }, "config fits open-source Kong as it is");
  } else {
    for (const { message } of changes.slice(0, MAX_LOGGED)) {
      log.info({ change: message }, "config changed to fit open-source Kong");
    }
    log.info(
      { changes: changes.length, bytes: config.length, bytesBefore: snapshot.config.length },
      "config adapted to open-source Kong",
    );
  }
  const droppedPlugins = changes.filter(
    (change) => change.kind === "entity" && change.entityKind === "plugins",
  ).length;
  if (droppedPlugins > 0) {
    log.warn(
      { droppedPlugins, hint: "Where one of them let in known clients only, everybody is let in." },
      "plugins were dropped, and what they did is not done",
    );
  }
  const findings = checkConfig(config, kongVersion, { plugins, edition: "open-source" });
  for (const { message } of findings.slice(0, MAX_LOGGED)) {
    log.warn({ finding: message }, "Kong may refuse the config for what adapting does not change");
  }
  return {
    snapshot: changes.length === 0 ? snapshot : { config, metadata: undefined },
    changes,
  };
}
