/** `kong-fallback snapshots`: the saved configs and their history, for a person in front of a terminal or a script. */

import { onShutdown } from "../../runtime/shutdown.ts";
import type { Terminal } from "../confirm.ts";
import type { Command } from "../context.ts";
import { type ActionContext, openFolders } from "../folders.ts";
import { quietly } from "../output.ts";
import { diffCommand } from "./diff.ts";
import { listCommand } from "./list.ts";
import { pruneCommand } from "./prune.ts";
import type { SnapshotsRequest } from "./request.ts";
import { restoreCommand } from "./restore.ts";
import { showCommand } from "./show.ts";
import { verifyCommand } from "./verify.ts";

/** `stdin`: where a question is answered. */
export function snapshotsCommand(request: SnapshotsRequest, stdin: Terminal["stdin"]): Command {
  return async (given) => {
    using shutdown = onShutdown(given.signals, given.settings.shutdownTimeoutMs);
    const signal = shutdown.stop;
    const context = quietly(given, "snapshots");
    const allVersions = "allVersions" in request && request.allVersions;
    await using opened = await openFolders(context, allVersions, signal);
    const { folders, seal } = opened;
    return await act(request, { ...context, stdin, folders, seal }, signal);
  };
}

function act(
  request: SnapshotsRequest,
  context: ActionContext,
  signal: AbortSignal,
): Promise<number> {
  switch (request.kind) {
    case "list":
      return listCommand(request, context, signal);
    case "show":
      return showCommand(request, context, signal);
    case "diff":
      return diffCommand(request, context, signal);
    case "verify":
      return verifyCommand(request, context, signal);
    case "restore":
      return restoreCommand(request, context, signal);
    case "prune":
      return pruneCommand(request, context, signal);
    default:
      return request satisfies never;
  }
}
